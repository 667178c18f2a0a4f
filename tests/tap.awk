# SPDX-License-Identifier: GPL-2.0-or-later
#
# Judge one log of guest_run or of a test of the host: print each test with its
# counts and each failed case, and last "#= PASSED FAILED".  A test that ends
# with an error, without its plan or with fewer cases than planned has failed,
# whatever its cases say.

function fail(text)
{
	print "not ok - " where ": " test ": " text
	failed++
	bad++
}

function judge(status, seconds)
{
	if (plan < 0)
		fail("ended without a plan")
	else if (plan != cases)
		fail("planned " plan " cases and ran " cases)
	if (status != 0 && !bad)
		fail("exit status " status)
	printf "%s - %s: %s: %d cases%s, %d s\n", bad ? "not ok" : "ok", where,
	       test, cases, skipped ? " (" skipped " skipped)" : "", seconds
	if (bad)
		print "# see " log_file
}

BEGIN { test = ""; last = 0 }

{ sub(/\r$/, "") }

/^#> begin / {
	test = $3
	plan = -1
	cases = bad = skipped = 0
	notes = ""
	next
}

/^#> end / {
	judge($4, $5)
	seen[$3] = 1
	test = ""
	next
}

/^#> died / {
	died = $3
	next
}

test == "" { next }

/^1\.\.[0-9]+/ {
	plan = substr($1, 4) + 0
	next
}

/^(ok|not ok) / {
	cases++
	line = $0
	if (line ~ /^ok .*# SKIP/) {
		skipped++
		print "# " where ": " test ": " line
	} else if (line ~ /^ok /) {
		passed++
	} else {
		sub(/^not ok [0-9]* *-? */, "", line)
		printf "%s", notes
		fail(line)
	}
	notes = ""
	next
}

/^#/ { notes = notes $0 "\n" }

END {
	if (test != "")
		fail("did not end")
	if (died != "") {
		test = "guest"
		fail("scripts/vm ended with status " died "; see " log_file)
	}
	count = split(expected, names, " ")
	for (i = 1; i <= count; i++)
		if (!(names[i] in seen) && names[i] != test) {
			test = names[i]
			fail("did not run")
		}
	print "#= " passed + 0 " " failed + 0
}
