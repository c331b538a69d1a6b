# A folder in which everything is that the tests make, removed at the end with what is mounted below it. Sourced after
# environment.sh, never run. The caller adds the processes to end first to the array `running`.

# In memory where there is room, because the tests sync often; and where programs may be run, because some tests do.
place=/tmp
if [ -w /dev/shm ] && [ "$(df --output=avail -B 1G /dev/shm | tail -n 1)" -ge 4 ] &&
    ! findmnt -n -o OPTIONS -T /dev/shm | grep -qw noexec; then
    place=/dev/shm
fi
# Everything that the tests make is in one folder, so that what a killed test leaves mounted can be found and ended.
TMPDIR=$(mktemp -d "$place/artfs-test.XXXXXX")
export TMPDIR
chmod 1777 "$TMPDIR" # some tests drop root's rights
running=()
clean_up() {
    local each mounted
    for each in "${running[@]}"; do kill "$each" 2>/dev/null && wait "$each" || true; done
    awk -v below="$TMPDIR/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mounted; do
            mounted=$(printf '%b' "$mounted") # spaces are written as \040
            umount -l "$mounted" 2>/dev/null || fusermount3 -uz "$mounted" || true
        done
    rm -rf --one-file-system "$TMPDIR"
}
trap clean_up EXIT
trap 'exit 143' TERM
