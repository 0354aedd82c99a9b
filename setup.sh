# Sourced by ./run and ./test: makes an environment of the project and its dependencies, and finds it again.
# Expects ROOT (the project's folder); sets VENV, BIN (its commands) and PYTHONPATH.
# Environments lie in .venvs/, one for each state of the dependencies; .venv links to the newest.
# A new one is built beside the others. One that a live process uses is never changed or removed.
# It works under every path of the checkout: its commands are started as `$BIN/python -m`.
# shellcheck shell=sh

VENVS="$ROOT/.venvs"

say() { printf '%s\n' "$*" >&2; }

# Prints a Python that is new enough, or fails.
find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    say "Python 3.11 or newer with its venv module is needed and was not found."
    say "Install it (Debian and Ubuntu: apt install python3 python3-venv), or name one: PYTHON=/path/to/python3 $0"
    return 1
}

# The state of the dependencies, whatever path the checkout has.
fingerprint() {
    cat "$ROOT/pyproject.toml" "$ROOT/client/pyproject.toml" "$ROOT/constraints.txt" | cksum | tr ' ' '-'
}

# find_environment EXTRA: sets VENV and BIN to a complete environment; where there is none, to the folder to build it in,
# and fails. One with the tests' extra serves ./run as well. One whose Python is missing here, but perhaps not in the
# container or on the host that made it, is left alone: the next number is taken.
find_environment() {
    state=$(fingerprint)
    wanted=""
    for extra in "${1:-run}" "${1:-test}"; do
        for number in "" -2 -3 -4 -5; do
            VENV="$VENVS/$state-$extra$number"
            BIN="$VENV/bin"
            [ -f "$VENV/.complete" ] || { wanted="${wanted:-$VENV}"; break; }
            "$BIN/python" -I -S -c '' >/dev/null 2>&1 && return 0
        done
    done
    VENV="${wanted:-$VENVS/$state-${1:-run}-5}"
    BIN="$VENV/bin"
    return 1
}

# Where the process ids of this shell mean something: a container has its own.
pid_namespace() { readlink /proc/self/ns/pid 2>/dev/null || echo here; }

# Notes that this process uses the environment; what `exec` starts keeps the process id.
register_user() {
    { mkdir -p "$VENV/.users" && pid_namespace >"$VENV/.users/$$"; } 2>/dev/null || true
}

# is_in_use FOLDER: a live process was started from it, one of another container perhaps, or in the last ten minutes.
is_in_use() {
    [ -z "$(find "$1/.users" -maxdepth 0 -mmin -10 2>/dev/null)" ] || return 0
    for user in "$1/.users"/*; do
        [ -f "$user" ] || continue
        [ "$(cat "$user")" = "$(pid_namespace)" ] || return 0
        if kill -0 "${user##*/}" 2>/dev/null || [ -d "/proc/${user##*/}" ]; then return 0; fi
    done
    return 1
}

# Removes the environments of other states that no process uses.
remove_unused() {
    for folder in "$VENVS"/*; do
        case "$folder" in "$VENVS/$(fingerprint)"-*) continue ;; esac
        [ -d "$folder" ] && ! is_in_use "$folder" && rm -rf "$folder"
    done
    return 0
}

# Points .venv at the environment in one step.
link_environment() {
    if [ -d "$ROOT/.venv" ] && [ ! -L "$ROOT/.venv" ]; then
        say "$ROOT/.venv is a folder of an older version and is not used any more; delete it when nothing runs from it."
        return 0
    fi
    "$BIN/python" -c 'import os, sys; os.symlink(sys.argv[1], sys.argv[2]); os.replace(sys.argv[2], sys.argv[3])' \
        ".venvs/${VENV##*/}" "$ROOT/.venv-link-$$" "$ROOT/.venv"
}

# A folder is made by one process alone, so it is the lock; that of a dead process is taken away.
take_lock() {
    LOCK="$VENVS/.lock"
    told=""
    mkdir -p "$VENVS" 2>/dev/null || true
    until mkdir "$LOCK" 2>/dev/null; do
        [ -w "$VENVS" ] || { say "$ROOT is not writable, so no environment can be made in it."; return 1; }
        holder=$(cat "$LOCK/pid" 2>/dev/null || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null && [ ! -d "/proc/$holder" ]; then
            rm -rf "$LOCK"
            continue
        fi
        # A process that died between making the lock and writing its id leaves one without an id.
        if [ -z "$holder" ] && [ -n "$told" ]; then
            rm -rf "$LOCK"
            continue
        fi
        [ -n "$told" ] || say "Another set-up is running (process ${holder:-unknown}); waiting for it."
        told=yes
        sleep 1
    done
    trap 'rm -rf "$LOCK"' EXIT
    trap 'rm -rf "$LOCK"; exit 130' INT TERM HUP
    echo "$$" >"$LOCK/pid"
}

drop_lock() {
    rm -rf "$LOCK"
    trap - EXIT INT TERM HUP
}

# uv reads its own settings; hand it those that pip has been given.
install_with_uv() {
    "$BIN/python" -m pip install --quiet --disable-pip-version-check -c "$ROOT/constraints.txt" uv || return 1
    (
        UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
        [ -z "${PIP_INDEX_URL:-}" ] || UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
        [ -z "${PIP_EXTRA_INDEX_URL:-}" ] || UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}"
        [ -z "${PIP_CERT:-}" ] || SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
        [ -w "${HOME:-/nonexistent}" ] || UV_NO_CACHE=1
        for name in UV_FIND_LINKS UV_DEFAULT_INDEX UV_INDEX SSL_CERT_FILE UV_NO_CACHE; do
            eval "[ -z \"\${$name:-}\" ]" && unset "$name" || export "${name?}"
        done
        set -- pip install --python "$BIN/python" -c "$ROOT/constraints.txt" -e "$ROOT/client" -e "$1"
        # With no local wheels, take the torch that fits this machine's GPU, or the CPU's.
        if [ -z "${UV_FIND_LINKS:-}" ] && "$BIN/uv" "$@" --torch-backend=auto; then
            exit 0
        fi
        "$BIN/uv" "$@"
    )
}

install_with_pip() {
    say "uv could not install the project; trying pip."
    "$BIN/python" -m pip install --disable-pip-version-check -c "$ROOT/constraints.txt" -e "$ROOT/client" -e "$1"
}

# setup_environment [EXTRA]: after it, `$BIN/python -m richregime` works.
setup_environment() {
    extra_wanted=${1:-}
    if ! find_environment "$extra_wanted"; then
        python=$(find_python) || return 1
        take_lock || return 1
        if ! find_environment "$extra_wanted"; then
            say "Setting up $VENV (once; a minute or so) ..."
            "$python" -m venv --clear "$VENV" || return 1
            target="$ROOT${extra_wanted:+[$extra_wanted]}"
            install_with_uv "$target" || install_with_pip "$target" || {
                say "The dependencies could not be installed; the messages above say why."
                return 1
            }
            : >"$VENV/.complete"
            link_environment
            remove_unused
        fi
        drop_lock
    fi
    register_user
    # The packages of this checkout, under whatever path it has now.
    export PYTHONPATH="$ROOT:$ROOT/client${PYTHONPATH:+:$PYTHONPATH}"
}
