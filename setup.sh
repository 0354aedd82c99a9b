# Sourced by ./run and ./test: makes .venv with the project and its dependencies, once, and keeps it current.
# Expects ROOT (the project's folder); sets BIN (the environment's commands).
# shellcheck shell=sh

VENV="$ROOT/.venv"
BIN="$VENV/bin"

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
    say "Python 3.11 or newer, with its venv module, is needed and was not found."
    say "Install it (Debian and Ubuntu: apt install python3 python3-venv), or name one: PYTHON=/path/to/python3 $0"
    return 1
}

# What the environment depends on: where it stands, what is asked for, and with which extra.
fingerprint() {
    { printf '%s\n' "$ROOT" "$1"; cat "$ROOT/pyproject.toml" "$ROOT/client/pyproject.toml" "$ROOT/constraints.txt"; } | cksum
}

# An environment with the tests' extra serves ./run as well.
is_current() {
    [ -x "$BIN/python" ] || return 1
    for extra in "$1" "${1:-test}"; do
        stamp="$VENV/.stamp-$extra"
        [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$extra")" ] && return 0
    done
    return 1
}

# An environment knows its own path, so one that was copied or moved is made anew.
is_usable() {
    grep -qF "$VENV" "$BIN/activate" 2>/dev/null &&
        "$BIN/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# A folder is made by one process alone, so it is the lock; that of a dead process is taken away.
take_lock() {
    LOCK="$ROOT/.venv-lock"
    told=""
    until mkdir "$LOCK" 2>/dev/null; do
        [ -w "$ROOT" ] || { say "$ROOT is not writable, so the environment cannot be made in it."; return 1; }
        holder=$(cat "$LOCK/pid" 2>/dev/null || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null && [ ! -d "/proc/$holder" ]; then
            rm -rf "$LOCK"
            continue
        fi
        # A process that died between making the lock and signing it leaves one without a name.
        if [ -z "$holder" ] && [ -n "$told" ]; then
            rm -rf "$LOCK"
            continue
        fi
        [ -n "$told" ] || say "Another set-up is under way (process ${holder:-unknown}); waiting for it."
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

# setup_environment [EXTRA]: after it, $BIN/richregime works.
setup_environment() {
    extra_wanted=${1:-}
    is_current "$extra_wanted" && return 0
    python=$(find_python) || return 1
    take_lock || return 1
    if ! is_current "$extra_wanted"; then
        say "Setting up $VENV (once; a minute or so) ..."
        is_usable || "$python" -m venv --clear "$VENV" || return 1
        target="$ROOT${extra_wanted:+[$extra_wanted]}"
        install_with_uv "$target" || install_with_pip "$target" || {
            say "The dependencies could not be installed; the messages above say why."
            return 1
        }
        fingerprint "$extra_wanted" >"$VENV/.stamp-$extra_wanted"
    fi
    drop_lock
}
