# Sourced by ./run and ./test: finds the Python environment of the project, or creates one.
# Expects ROOT (the project's folder); sets VENV, BIN (the environment's commands) and PYTHONPATH.
# .venvs/ has one environment per state of the dependencies; .venv links to the newest.
# A new environment is built beside the others; one that a running process uses is never changed.
# The checkout may be moved: commands are started as `$BIN/python -m`, not by their scripts.
# shellcheck shell=sh

VENVS="$ROOT/.venvs"

say() { printf '%s\n' "$*" >&2; }

# Print the path of a Python that is new enough, or fail.
find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
                >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    say "Python 3.11 or newer with the module venv was not found."
    say "Install it (Debian, Ubuntu: apt install python3 python3-venv), or name one:"
    say "PYTHON=/path/to/python3 $0"
    return 1
}

# A checksum of the files that declare dependencies; independent of the checkout's path.
fingerprint() {
    cat "$ROOT/pyproject.toml" "$ROOT/client/pyproject.toml" "$ROOT/constraints.txt" | cksum | tr ' ' '-'
}

# find_environment [EXTRA]: set VENV and BIN to a complete environment. If there is none, set them
# to the folder to build it in, and fail. An environment with the extra `test` serves ./run as well.
# An environment whose Python is missing may belong to another container or host that shares this
# checkout, so it is kept and the next number is used.
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

# The namespace of this shell's process ids: each container has its own.
pid_namespace() { readlink /proc/self/ns/pid 2>/dev/null || echo here; }

# Record that this process uses the environment; `exec` keeps the process id.
register_user() {
    { mkdir -p "$VENV/.users" && pid_namespace >"$VENV/.users/$$"; } 2>/dev/null || true
}

# is_in_use FOLDER: whether a process uses it: a running one of this namespace, any of another one, or
# one that was started in the last ten minutes.
is_in_use() {
    [ -z "$(find "$1/.users" -maxdepth 0 -mmin -10 2>/dev/null)" ] || return 0
    for user in "$1/.users"/*; do
        [ -f "$user" ] || continue
        [ "$(cat "$user")" = "$(pid_namespace)" ] || return 0
        if kill -0 "${user##*/}" 2>/dev/null || [ -d "/proc/${user##*/}" ]; then return 0; fi
    done
    return 1
}

# Remove unused environments of other states of the dependencies.
remove_unused() {
    for folder in "$VENVS"/*; do
        case "$folder" in "$VENVS/$(fingerprint)"-*) continue ;; esac
        [ -d "$folder" ] && ! is_in_use "$folder" && rm -rf "$folder"
    done
    return 0
}

# Make .venv a link to the environment, atomically.
link_environment() {
    if [ -d "$ROOT/.venv" ] && [ ! -L "$ROOT/.venv" ]; then
        say "$ROOT/.venv is a folder of an older version; delete it when no process uses it."
        return 0
    fi
    "$BIN/python" -c 'import os, sys
os.symlink(sys.argv[1], sys.argv[2])
os.replace(sys.argv[2], sys.argv[3])' \
        ".venvs/${VENV##*/}" "$ROOT/.venv-link-$$" "$ROOT/.venv"
}

# The lock is a folder, which only one process can create; the lock of a dead process is removed.
take_lock() {
    LOCK="$VENVS/.lock"
    waiting=""
    mkdir -p "$VENVS" 2>/dev/null || true
    until mkdir "$LOCK" 2>/dev/null; do
        if [ ! -w "$VENVS" ]; then
            say "$ROOT is not writable; an environment cannot be created in it."
            return 1
        fi
        holder=$(cat "$LOCK/pid" 2>/dev/null || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null && [ ! -d "/proc/$holder" ]; then
            rm -rf "$LOCK"
            continue
        fi
        # A lock without a process id is left by a process that died before it wrote its id.
        if [ -z "$holder" ] && [ -n "$waiting" ]; then
            rm -rf "$LOCK"
            continue
        fi
        [ -n "$waiting" ] || say "Waiting for another set-up (process ${holder:-unknown}) ..."
        waiting=yes
        sleep 1
    done
    trap 'rm -rf "$LOCK"' EXIT
    trap 'rm -rf "$LOCK"; exit 130' INT TERM HUP
    echo "$$" >"$LOCK/pid"
}

release_lock() {
    rm -rf "$LOCK"
    trap - EXIT INT TERM HUP
}

# choose_constraints EXTRAS: Trackio does not allow the version of Pillow that the others have.
choose_constraints() {
    CONSTRAINTS="$ROOT/constraints.txt"
    case "$1" in
    *trackers*)
        CONSTRAINTS="$VENVS/trackers-constraints.txt"
        grep -v '^pillow==' "$ROOT/constraints.txt" >"$CONSTRAINTS"
        ;;
    esac
}

# uv does not read pip's variables, so its own are set from them.
install_with_uv() {
    "$BIN/python" -m pip install --quiet --disable-pip-version-check -c "$CONSTRAINTS" uv || return 1
    (
        UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
        [ -z "${PIP_INDEX_URL:-}" ] || UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
        [ -z "${PIP_EXTRA_INDEX_URL:-}" ] || UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}"
        [ -z "${PIP_CERT:-}" ] || SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
        [ -w "${HOME:-/nonexistent}" ] || UV_NO_CACHE=1
        for name in UV_FIND_LINKS UV_DEFAULT_INDEX UV_INDEX SSL_CERT_FILE UV_NO_CACHE; do
            eval "[ -z \"\${$name:-}\" ]" && unset "$name" || export "${name?}"
        done
        set -- pip install --python "$BIN/python" -c "$CONSTRAINTS" -e "$ROOT/client" -e "$1"
        # Without local wheels, choose the build of torch for this machine's GPU, or for the CPU.
        if [ -z "${UV_FIND_LINKS:-}" ] && "$BIN/uv" "$@" --torch-backend=auto; then
            exit 0
        fi
        "$BIN/uv" "$@"
    )
}

install_with_pip() {
    say "uv failed to install the project; trying pip."
    "$BIN/python" -m pip install --disable-pip-version-check -c "$CONSTRAINTS" -e "$ROOT/client" -e "$1"
}

# setup_environment [EXTRA]: make `$BIN/python -m richregime` work.
setup_environment() {
    extra_wanted=${1:-}
    if ! find_environment "$extra_wanted"; then
        python=$(find_python) || return 1
        take_lock || return 1
        if ! find_environment "$extra_wanted"; then
            say "Creating the environment $VENV (once, about a minute) ..."
            "$python" -m venv --clear "$VENV" || return 1
            choose_constraints "$extra_wanted"
            target="$ROOT${extra_wanted:+[$extra_wanted]}"
            install_with_uv "$target" || install_with_pip "$target" || {
                say "The installation failed; see the messages above."
                return 1
            }
            : >"$VENV/.complete"
            link_environment
            remove_unused
        fi
        release_lock
    fi
    register_user
    # Import the packages from the checkout's current path.
    export PYTHONPATH="$ROOT:$ROOT/client${PYTHONPATH:+:$PYTHONPATH}"
}
