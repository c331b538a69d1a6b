#!/usr/bin/env bash
# Run the README's tour, printing each command before it runs.
# Everything happens in one temporary folder, which is removed at the end unless --keep is given.
set -euo pipefail
here=$(printf '%q' "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)") # quoted, because it becomes part of commands
case "${1:-}" in
    "") keep= ;;
    --keep) keep=1 ;;
    *) echo "usage: tour.sh [--keep]" >&2; exit 2 ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/artfs-tour.XXXXXX")
export ARTFS_WORKSPACE=$work/workspace
cd "$work"

clean_up() {
    if grep -q " $work/mnt " /proc/self/mountinfo; then
        artfs umount "$work/mnt" || umount -l "$work/mnt" 2>/dev/null || fusermount3 -uz "$work/mnt"
    fi
    cd /
    if [ -z "$keep" ]; then
        rm -rf --one-file-system "$work"
    else
        printf '\nKept: export ARTFS_WORKSPACE=%s, then: artfs ls digits\n' "$ARTFS_WORKSPACE"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n'; printf '# %s\n' "$@"; }
run() {
    printf '$ %s\n' "$*"
    eval "$*"
}

step "A data set put together in a hurry: class folders of images, some of them in the wrong folder. It becomes v0."
run "python $here/make_digits.py digits"
run "artfs put digits digits --type dataset --description 'as collected'"

step "The same folder with corrected labels and more images. It becomes v1."
run "python $here/make_digits.py digits --corrected"
run "artfs put digits digits --description 'labels corrected, 800 images added'"

step "Every version is a directory that any tool can read."
run "mkdir mnt"
run "artfs mount mnt"
run "ls -l mnt/digits"
run "ls mnt/digits/v1/train"
run "diff -rq mnt/digits/v0/test mnt/digits/v1/test && echo 'the test images are the same in both'"
run "artfs diff digits:v0 digits:v1 | tail -n 3"

step "Train with plain file reads. 'artfs path' prints the folder of one version, .../v1, never .../latest:" \
    "latest moves with the next put, and a training run that reads through it would see half of each."
run 'artfs path digits'
run "python $here/train.py \"\$(artfs path digits:v0)\""
run "python $here/train.py \"\$(artfs path digits)\""

step "What the versions cost. LOGICAL is the size of a version's files, ATTRIBUTED is what is stored because of it:" \
    "v1 shares every test image and most training images with v0, so it adds far less than it contains."
run "artfs usage digits"
run "artfs umount mnt"
