#!/bin/sh
# Makes sure that the PostgreSQL server programs (initdb, postgres) are on this machine: `make postgres`.
# Tests, the demo and `tenderlab dev` run private servers with them; nothing is started, and no cluster is left behind.
#
# Present: says which, exits 0. Missing, on Debian or Ubuntu as root: installs them. Otherwise: says what to do, exits 1.
set -eu

# The folder of a complete set of server programs: on PATH first, then where packages put them, newest version first.
# The same places in the same order as in processor/lab/servers/programs.go.
find_programs() {
	if initdb=$(command -v initdb); then
		if real=$(readlink -f "$initdb" 2>/dev/null); then
			initdb=$real
		fi
		holds_programs "${initdb%/*}" && return 0
	fi
	for pattern in \
		'/usr/lib/postgresql/*/bin' \
		'/usr/pgsql-*/bin' \
		'/opt/homebrew/opt/postgresql@*/bin' \
		'/opt/homebrew/opt/postgresql/bin' \
		'/usr/local/opt/postgresql@*/bin' \
		'/usr/local/opt/postgresql/bin' \
		'/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin' \
		'/Applications/Postgres.app/Contents/Versions/*/bin' \
		'/usr/libexec/postgresql*' \
		'/usr/local/pgsql/bin' \
		'/usr/lib/postgresql/bin' \
		'/usr/local/bin'; do
		# shellcheck disable=SC2086 # the pattern is there to be expanded
		for folder in $(printf '%s\n' $pattern | sort -rV); do
			holds_programs "$folder" && return 0
		done
	done
	return 1
}

holds_programs() {
	[ -x "$1/initdb" ] && [ -x "$1/postgres" ] && programs=$1
}

report() {
	echo "$("$programs/postgres" --version) in $programs"
}

# Debian's packages create a cluster "main" and start it on port 5432. It is not wanted here, so it is switched off
# for the time of the installation.
install_on_debian() {
	dropins=/etc/postgresql-common/createcluster.d
	switch=$dropins/tender-no-main-cluster.conf
	mkdir -p "$dropins"
	trap 'rm -f "$switch"' EXIT
	trap 'exit 1' HUP INT TERM
	echo 'create_main_cluster = false' >"$switch"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update
	apt-get install -y --no-install-recommends postgresql
}

if find_programs; then
	report
	exit 0
fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
	echo 'PostgreSQL server programs are missing: installing them (apt-get install postgresql)'
	install_on_debian
	if find_programs; then
		report
		exit 0
	fi
fi

cat >&2 <<'END'
PostgreSQL server programs (initdb, postgres) are missing. Install them, then run this again:

  Debian, Ubuntu   sudo sh deployments/postgres/ensure.sh
  Fedora, RHEL     sudo dnf install postgresql-server
  Alpine           apk add postgresql
  macOS            brew install postgresql@17
  elsewhere        put the folder that holds initdb and postgres on PATH
END
exit 1
