#!/bin/bash
# SPDX-License-Identifier: ISC
#
# run.sh: searches every model exhaustively, without and with its seeded bugs.
#
# A model lists its searches in lines that spin's preprocessor drops:
#
#   //! ok    <name> [-Dflag ...]              the whole state space, no error
#   //! found <name> [-Dflag ...] : <pattern>  an error whose report has pattern
#
# Prints one line per search and then "N passed, N failed". A search that was
# cut short, a model with a statement that no ok search reaches, or a bug that
# is not found is a failure. With arguments: only those models (park close ...), or those of
# another folder (../remote/models/flight).
set -u
here=$(cd "$(dirname "$0")" && pwd)
depth=200000 # steps; pan says so when a search needs more
memory=1600  # MB per search, two at a time
compiler=${CC:-cc}
# most of the time goes to compiling, which clang does in two thirds of gcc's
[ -n "${CC-}" ] || ! command -v clang >/dev/null || compiler=clang

die() { echo "run.sh: $*" >&2; exit 2; }

# build DIR MODEL FLAGS...: pan in DIR
build() {
    local dir=$1 model=$2
    shift 2
    (cd "$dir" && spin -a "$@" "$here/$model.pml" && test -s pan.c &&
        $compiler -O0 -w -DSAFETY -DMEMLIM=$memory -o pan pan.c) >"$dir/build" 2>&1
}

# complete REPORT: nothing was cut short
complete() {
    ! grep -qE 'max search depth too small|Search not completed|out of memory|truncated|aborting' "$1" &&
        grep -q 'State-vector' "$1"
}

# verdict KIND DIR PATTERN: sets result, returns 0 when it is as expected
verdict() {
    local kind=$1 report=$2/report pattern=$3 error
    error=$(grep -m1 '^pan:1:' "$report" | sed 's/^pan:1: //; s/ (at depth.*//' | tr -s ' ')
    case $kind in
    ok)
        if [ -n "$error" ]; then result="UNEXPECTED: $error"; return 1; fi
        if ! complete "$report"; then result="INCOMPLETE"; return 1; fi
        result="ok" ;;
    found)
        if [ -z "$error" ]; then result="NOT FOUND"; return 1; fi
        case $error in
        *"$pattern"*) result="found: ${error:0:48}" ;;
        *) result="FOUND ANOTHER ERROR: $error"; return 1 ;;
        esac ;;
    esac
}

# unreached DIR: statements that the search never took in any copy of their inline, as "line text"
unreached() {
    sed -n 's/^\t\([^(].*:[0-9]*\), state [0-9]*, "\(.*\)"$/\1 \2/p' "$1/report" |
        grep -v -- '-end-' | sort | uniq -c >"$1/missed"
    sed -n 's|^.*// STATE [0-9]* - \(.*:[0-9]*\) - \[\(.*\)\] (.*$|\1 \2|p' "$1/pan.m" |
        sort | uniq -c | grep -Fxf - "$1/missed" | sed "s|^ *[0-9]* .*/||"
}

# search NUMBER MODEL KIND NAME FLAGS : PATTERN -- one line of a model's list
search() {
    local number=$1 model=$2 kind=$3 name=$4 flags pattern states result rc=0
    shift 4
    flags=$* pattern=
    case $flags in *": "*) pattern=${flags#*: } flags=${flags%%: *} ;; esac
    local dir=$work/$number
    mkdir "$dir"
    # shellcheck disable=SC2086
    if build "$dir" "$model" $flags; then
        # a seeded bug is found among few states: no 128 MB of hash table to fill with zeros
        case $kind in found) flags=-w18 ;; *) flags= ;; esac
        (cd "$dir" && ./pan -m$depth $flags) >"$dir/report" 2>&1
        verdict "$kind" "$dir" "$pattern" || rc=1
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/report")
        if [ "$kind" = ok ]; then unreached "$dir" >"$dir/unreached"; fi
        rm -f "$dir"/pan*
    else
        result="DOES NOT BUILD: $(tail -n1 "$dir/build")" rc=1
    fi
    printf '%-8s %-22s %10s states  %s\n' "${model##*/}" "$name" "${states:-?}" "$result" >"$dir/line"
    echo $rc >"$dir/rc"
}

# reached MODEL DIRS...: every statement is reached by one of the ok searches
reached() {
    local model=$1 dirs=("${@:2}") missing
    missing=$(cat "${dirs[@]/%//unreached}" | sort | uniq -c | awk -v n=${#dirs[@]} '$1 == n')
    if [ -z "$missing" ]; then
        printf '%-8s %-22s %10s         %s\n' "${model##*/}" "every statement" "" "reached"
        return 0
    fi
    printf '%-8s %-22s %10s         %s\n%s\n' "${model##*/}" "every statement" "" "NOT REACHED:" "$missing"
    return 1
}

# named: what README.md calls a function of the core is one
named() {
    local name missing=
    # shellcheck disable=SC2016
    for name in $(grep -oE '`[a-z]+_[a-z_]+`' "$here/README.md" | tr -d '`' | sort -u); do
        grep -qE "\\b$name\(" "$here"/../csrc/*/*.[ch] || missing="$missing $name"
    done
    printf '%-8s %-22s %10s         %s\n' README.md "names functions" "" "${missing:-that exist}"
    [ -z "$missing" ]
}

command -v spin >/dev/null || die "spin is not installed"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
models=${*:-park inbox parker grow lazy spare deadline close cancel rim finish mailbox}
number=100
: >"$work/list"
for model in $models; do
    [ -f "$here/$model.pml" ] || die "no model $model"
    while read -r _ line; do
        number=$((number + 1))
        echo "$number $model $line" >>"$work/list"
    done < <(grep '^//! ' "$here/$model.pml")
done

begun=0 searches=$((number - 100))
while read -r -a line; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    begun=$((begun + 1))
    "$here"/../tools/progress $begun $searches "${line[1]}, ${line[3]}"
    search "${line[@]}" &
done <"$work/list"
wait
"$here"/../tools/progress

passed=0 failed=0
count() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
for model in $models; do
    oks=()
    while read -r n m kind _; do
        [ "$m" = "$model" ] || continue
        cat "$work/$n/line"
        count "$(cat "$work/$n/rc")"
        if [ "$kind" = ok ] && [ -f "$work/$n/unreached" ]; then oks+=("$work/$n"); fi
    done <"$work/list"
    if [ ${#oks[@]} -gt 0 ]; then
        reached "$model" "${oks[@]}"
        count $?
    fi
done
if [ $# = 0 ]; then
    named
    count $?
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
