#!/bin/bash
# SPDX-License-Identifier: ISC
#
# gtk_thumbnails.sh PROGRAM [SCREENSHOT]: presses the window's button while an image is still to
# come, on a display of its own; then lets the image come and closes the window. Prints what the
# program prints. The second image is a pipe, whose reader waits until this writes.
set -eu
program=$1 shot=${2-}
if [ -z "${IN_XVFB-}" ]; then
    export IN_XVFB=yes NO_AT_BRIDGE=1 GDK_BACKEND=x11
    exec xvfb-run -a -s "-screen 0 640x480x24" "$0" "$@"
fi
work=$(mktemp -d)
trap '[ $? = 0 ] || cat "$work/errors" >&2; rm -rf "$work"' EXIT # where GTK warns, too
cd "$work"
image() { # RED GREEN BLUE, as octal
    printf 'P6\n240 180\n255\n'
    for ((i = 0; i < 60; i++)); do printf "%720s" '' | sed "s/   /$1$2$3/g"; done
    for ((i = 0; i < 120; i++)); do printf "%720s" '' | sed "s/   /$3$1$2/g"; done
}
wait_for() { # WORD: the program's next line has it, but for clicks that came late
    while read -r line <&3 && [ "$line" = pressed ]; do :; done
    echo "$line"
    [[ $line == *$1* ]]
}
image A o z >first.ppm
mkfifo second.ppm out
"$program" first.ppm second.ppm >out 2>errors &
pid=$!
exec 3<out
wait_for first.ppm
window=$(xdotool search --sync --onlyvisible --name '^Thumbnails$' | head -n 1)
# A window that is there may have no button yet. Then the click is lost.
for _ in {1..50}; do
    xdotool mousemove --window "$window" 240 15 click 1
    ! read -rt 2 line <&3 || break
done
echo "$line"
[ -z "$shot" ] || import -window "$window" "${shot%.png}-while.png"
image z A o >second.ppm
wait_for second.ppm
[ -z "$shot" ] || import -window "$window" "$shot"
xdotool windowclose "$window"
wait $pid
