#!/usr/bin/env bash
# The shared libraries that pip cannot bring: OpenGL through EGL for slice views, and what Qt's widgets load.
# Installs the missing ones where that needs no question (root or passwordless sudo, and apt-get); elsewhere names
# the line to type and fails. SKIP_SYSTEM_LIBRARIES=1 skips the check.
set -euo pipefail

[[ "$(uname -s)" == Linux && -z "${SKIP_SYSTEM_LIBRARIES:-}" ]] || exit 0
python="${PYTHON:-python3}"

# what to load : its Debian and Ubuntu package
libraries=(
    libEGL.so.1:libegl1
    libGL.so.1:libgl1
    libxkbcommon.so.0:libxkbcommon0
    libdbus-1.so.3:libdbus-1-3
    libfontconfig.so.1:libfontconfig1
    libglib-2.0.so.0:libglib2.0-0
    libX11.so.6:libx11-6
)

missing=()
for entry in "${libraries[@]}"; do
    "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "${entry%%:*}" 2>/dev/null || missing+=("${entry##*:}")
done
# without any font Qt draws empty boxes, and a test that looks for clipped text measures nothing
find /usr/share/fonts /usr/local/share/fonts ~/.fonts ~/.local/share/fonts \
    \( -name '*.ttf' -o -name '*.otf' \) -print -quit 2>/dev/null | grep -q . || missing+=(fonts-dejavu-core)

[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
[[ "$(id -u)" == 0 ]] || as_root=(sudo -n)
if command -v apt-get >/dev/null && { [[ ${#as_root[@]} -eq 0 ]] || sudo -n true 2>/dev/null; }; then
    echo "Installing system libraries: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    {
        echo "System libraries are missing that the pictures and the panel's tests need. On Debian or Ubuntu type"
        echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
        echo "and run make again. Elsewhere install what provides: ${libraries[*]%%:*}."
    } >&2
    exit 1
fi
