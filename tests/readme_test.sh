#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The commands of README.md's "On your own machine", run as they are written, in
# their order and in one fresh shell.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

# Where it was built: compilers write that into what they make.
TREE=/build/src

tidy()
{
	umount /srv/data
	vaultring luks close data
	wipefs -aq /dev/vdb
	rm -rf $TREE /root/vdb.header /root/data.blob
}

unpack()
{
	mkdir -p $TREE && tar -xzf "$HERE/source.tar.gz" -C $TREE &&
		[ -e $TREE/README.md ]
}

# The marked blocks become one script that says where it is.
extract()
{
	awk '
	/^#/ && !inside { heading = $0; sub(/^#+ */, "", heading) }
	/^<!-- test: readme -->$/ { marked = 1; next }
	/^```sh$/ && marked {
		inside = 1
		printf "echo \"@ %d\"\n", ++blocks
		print heading > "'"$WORK"'/headings"
		next
	}
	/^```$/ { inside = marked = 0 }
	inside { print }
	END { print "echo \"@ end\"" }' $TREE/README.md > "$WORK/script"
	BLOCKS=$(wc -l < "$WORK/headings")
	bash -n "$WORK/script" && [ "$BLOCKS" -ge 5 ]
}

run_script()
{
	cd $TREE && env -i HOME=/root LC_ALL=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		bash -ex "$WORK/script" > "$WORK/log" 2>&1 < /dev/null
}

# A block went well if the script came to what follows it.
block_passed()
{
	local next=$(($1 + 1))

	[ $next -le "$BLOCKS" ] || next=end
	sed -n "/^@ $1\$/,/^@ /p" "$WORK/log" | tail -n 20
	grep -qx "@ $next" "$WORK/log"
}

files_read_back()
{
	grep -x "a vault guards this" "$WORK/log" &&
		grep -x "so is this" "$WORK/log"
}

must unpack
must extract
run_script
number=0
while read -r heading; do
	number=$((number + 1))
	ok "block $number runs as written: $heading" block_passed $number
done < "$WORK/headings"
ok "the files were read back" files_read_back
finish
