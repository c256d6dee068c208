# Sourced by the tests of the air-gap bundle.
step() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
fail() { echo "error: $*" >&2; exit 1; }

# All that an installer may find in PATH: bash, coreutils, tar, and ctr where containerd is.
minimal_path() { # DIRECTORY
    mkdir "$1"
    local program
    for program in bash tar ctr; do
        ! type -P "$program" >/dev/null || ln -s "$(type -P "$program")" "$1/$program"
    done
    while read -r program; do
        [[ $program != */bin/* ]] || [ ! -x "$program" ] || ln -sf "$program" "$1/${program##*/}"
    done < <(dpkg --listfiles coreutils)
}

# refused WORDS COMMAND...: the command fails, and says so.
refused() {
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then fail "not refused: $* said: $said"; fi
    [[ $said == *"$words"* ]] || fail "refused without \"$words\": $said"
}
