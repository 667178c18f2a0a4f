/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the tests that speak netlink: a pinned vault whose key is in
 * this process, and a KEK that is created but not unsealed.
 */
#ifndef NETLINK_FIXTURE_H
#define NETLINK_FIXTURE_H

#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

FIXTURE(netlink)
{
	struct soft_vault vault;
	struct kek kek;
	int nl;
};

FIXTURE_SETUP(netlink)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_create(self->nl, &self->vault, NULL, &self->kek));
}

FIXTURE_TEARDOWN(netlink)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

#endif /* NETLINK_FIXTURE_H */
