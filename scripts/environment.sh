# What the scripts in this folder need: a Python, system packages, a virtual environment. Sourced, never run.
# Settings: ARTFS_PYTHON (the Python to use), ARTFS_VENV (where the virtual environment is; .venv otherwise).
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$(realpath -m "${ARTFS_VENV:-$root/.venv}")
export PATH="$venv/bin:$PATH:/usr/sbin:/sbin"

say() { printf 'artfs: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Run a command with its output in the log, from which addresses are taken out.
logged() {
    log=${log:-$(mktemp "${TMPDIR:-/tmp}/artfs-setup.XXXXXX.log")}
    "$@" </dev/null 2>&1 | sed -E 's#[a-z+]+://[^ ]+#<address>#g' >>"$log"
}

need_fuse() {
    [ -c /dev/fuse ] || fail "/dev/fuse is missing: load the kernel's module (modprobe fuse)," \
        "or start the container with --device /dev/fuse --cap-add SYS_ADMIN."
    { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } || fail "/dev/fuse is closed to $(id -un): as root, run chmod 666 /dev/fuse."
}

# Set $python to the first Python that is new enough.
find_python() {
    local candidate version seen=
    local candidates=(python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3)
    [ -z "${ARTFS_PYTHON:-}" ] || candidates=("$ARTFS_PYTHON")
    for candidate in "${candidates[@]}"; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$candidate python_version=$version
            return
        fi
        seen="$seen, $candidate is $version"
    done
    fail "Python 3.11 or newer is needed and was not found${seen:- (nothing that runs${ARTFS_PYTHON:+ as $ARTFS_PYTHON})}:" \
        "install one, or set ARTFS_PYTHON to it."
}

# Print the system packages that a build of the Python packages lacks.
missing_for_build() {
    have gcc || echo gcc
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    have pkg-config || echo pkg-config
    pkg-config --exists fuse3 2>/dev/null || echo libfuse3-dev
    [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
        echo "python$python_version-dev"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "python$python_version-venv"
}

# Print those of the given commands' packages (COMMAND or COMMAND=PACKAGE) that are missing.
missing_commands() {
    local wanted
    for wanted in "$@"; do have "${wanted%%=*}" || echo "${wanted##*=}"; done
}

install_packages() {
    local sudo=()
    [ $# -gt 0 ] || return 0
    have apt-get || fail "these system packages are missing: $*; there is no apt-get here," \
        "so install them with this system's own package manager."
    if [ "$(id -u)" != 0 ]; then
        have sudo || fail "these system packages are missing: $*; ask root to run: apt-get install $*"
        # A password is asked for only where somebody can type it.
        sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; } ||
            fail "these system packages are missing: $*; sudo was refused, so ask root to run: apt-get install $*"
        sudo=(sudo)
    fi
    say "installing system packages with apt-get: $*"
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    # Package lists may be missing or old: fetch them when the first try fails, which costs nothing when it does not.
    logged "${apt[@]}" install -y --no-install-recommends "$@" ||
        { logged "${apt[@]}" update && logged "${apt[@]}" install -y --no-install-recommends "$@"; } ||
        fail "apt-get could not install $*: the reason is in $log"
    hash -r
}

pip_error() { sed -nE 's/^ *ERROR: (.{1,200}).*/\1/p' "$log" | tail -n 1 | grep . || echo "is the network there?"; }

# Install a package of npm at a version into a folder of the virtual environment.
need_from_npm() {
    local name=$1 version=$2 folder="$venv/$1"
    [ ! -e "$folder/node_modules/$name/package.json" ] || return 0
    say "installing $name $version into $folder"
    mkdir -p "$folder"
    # Node.js knows its own list of certificates only; those of this system's owner come with the variable.
    [ -n "${NODE_EXTRA_CA_CERTS:-}" ] || [ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
        export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
    logged npm install --prefix "$folder" --no-save --no-audit --no-fund --fetch-timeout=60000 "$name@$version" ||
        fail "npm could not install $name: the reason is in $log"
    hash -r
}

# Let `azurite-blob`, an emulator of Azure's storage, be on the path.
need_azurite() {
    export PATH="$PATH:$venv/azurite/node_modules/.bin"
    have azurite-blob || need_from_npm azurite 3.35.0
}

# Build the fast lane of mounts and install it into the virtual environment, unless it is there.
need_lane() {
    local lock want stamp="$venv/.artfs-lane"
    exec {lock}<"$root"
    flock "$lock"
    want=$({ echo "$root"; cat "$root"/lane/setup.py "$root"/lane/pyproject.toml "$root"/lane/artfs_lane/*.py "$root"/lane/src/*; } |
        sha256sum | cut -c1-64)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        install_packages $(missing_for_lane)
        say "building the fast lane of mounts"
        rm -rf "$root/lane/build"
        logged "$venv/bin/python" -m pip install --no-input --disable-pip-version-check "$root/lane" ||
            fail "the fast lane could not be built: $(pip_error) (all of it: $log)"
        echo "$want" >"$stamp"
        rm -f "$log"
    fi
    exec {lock}<&-
}

# Print the system packages that a build of the fast lane lacks.
missing_for_lane() {
    have gcc || echo gcc
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    [ -e /usr/include/linux/fuse.h ] || echo linux-libc-dev
    [ -e /usr/include/lmdb.h ] || echo liblmdb-dev
    [ -e /usr/include/zstd.h ] || echo libzstd-dev
    [ -e /usr/include/xxhash.h ] || echo libxxhash-dev
}

# Servers for tests of what lies outside; on other systems, where they are not there, these are skipped.
need_servers() {
    have apt-get || return 0
    install_packages $(missing_commands ceph=ceph-common ceph-mon ceph-osd radosgw node=nodejs npm)
    need_azurite
}

# A browser, and the rules for people who use a screen reader or a keyboard, for tests of the pages; skipped elsewhere.
need_browser() {
    have apt-get || return 0
    install_packages $(missing_commands chromium node=nodejs npm)
    need_from_npm axe-core 4.14.1
}

# Make the virtual environment hold artfs with an extra (quickstart, dev, docs or bench), and the system the given commands
# (COMMAND or COMMAND=PACKAGE); nothing to do the second time. Two scripts at once wait for each other.
need_environment() {
    local lock
    exec {lock}<"$root"
    flock "$lock"
    make_environment "$@"
    exec {lock}<&-
}

make_environment() {
    local extra=$1 stamp="$venv/.artfs-setup" still want
    shift
    want=$({ echo "$root"; cat "$root/pyproject.toml" "$root/constraints.txt"; } | sha256sum | cut -c1-64)
    if "$venv/bin/python" -c '' 2>/dev/null && grep -qsxF "$extra $want" "$stamp"; then
        install_packages $(missing_commands "$@")
        return
    fi
    find_python
    install_packages $(missing_commands "$@") $(missing_for_build)
    still=$(missing_for_build | xargs)
    [ -z "$still" ] || fail "$python still lacks what $still should bring: set ARTFS_PYTHON to /usr/bin/python3"
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        # Only what these scripts made is replaced, never a folder that was named by mistake.
        if [ -e "$stamp" ]; then rm -rf "$venv"; fi
        [ -z "$(ls -A "$venv" 2>/dev/null)" ] || fail "$venv is in the way: it has no working pip; remove it, or set ARTFS_VENV"
        say "making the virtual environment $venv with $python ($python_version)"
        mkdir -p "$venv" && touch "$stamp"
        logged "$python" -m venv "$venv" || fail "the virtual environment could not be made: the reason is in $log"
    fi
    say "installing artfs[$extra] and what it needs into $venv (a minute or two)"
    logged "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        -e "$root[$extra]" -c "$root/constraints.txt" ||
        fail "pip could not install artfs: $(pip_error) (all of it: $log)"
    # Extras that were installed before stay installed, unless what they want has changed.
    { grep -s " $want\$" "$stamp" || true; printf '%s\n' "$extra $want"; } >"$stamp.new"
    if [ "$extra" = dev ]; then echo "quickstart $want" >>"$stamp.new"; fi
    mv "$stamp.new" "$stamp"
    rm -f "$log"
}
