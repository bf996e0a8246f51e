#!/bin/sh
# Makes sure that the C compiler named by the first argument is on this machine: `make compiler`. The race detector is
# linked with it; the product itself needs none.
set -eu

compiler=${1:-gcc}
if command -v "$compiler" >/dev/null; then
	exit 0
fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
	echo "The C compiler $compiler is missing: installing gcc (apt-get install gcc libc6-dev)"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update
	apt-get install -y --no-install-recommends gcc libc6-dev
	if command -v "$compiler" >/dev/null; then
		exit 0
	fi
fi

cat >&2 <<END
The race detector needs the C compiler $compiler. Install it, then run this again:

  Debian, Ubuntu   sudo apt-get install gcc libc6-dev
  Fedora, RHEL     sudo dnf install gcc
  Alpine           apk add gcc musl-dev
  macOS            xcode-select --install
END
exit 1
