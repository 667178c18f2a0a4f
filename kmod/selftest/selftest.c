// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load-time self-tests, in debug builds only: the first that fails keeps the
 * module from loading.  They run before anything of the module can be reached.
 */

#include <linux/kernel.h>
#include <linux/printk.h>

#include "../vr.h"

static const struct {
	const char *name;
	int (*run)(void);
} vr_selftests[] = {
	{ "key wrap", vr_keywrap_selftest },
	{ "shamir", vr_shamir_selftest },
};

int vr_selftest(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vr_selftests); i++) {
		err = vr_selftests[i].run();
		if (err) {
			pr_err("self-test failed: %s\n", vr_selftests[i].name);
			return err;
		}
	}
	pr_info("self-tests passed: %zu of %zu\n", i,
		ARRAY_SIZE(vr_selftests));
	return 0;
}
