// SPDX-License-Identifier: GPL-2.0-only
/*
 * vaultring: keys for dm-crypt and fscrypt, wrapped by KEKs that vaults hold
 */

#include <linux/crypto.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/module.h>

#include "vr.h"

/* Brought up in this order and torn down in reverse. */
static const struct {
	const char *name;
	int (*init)(void);
	void (*exit)(void);
} vr_parts[] = {
#ifdef VR_SELFTEST
	{ "self-tests", vr_selftest, NULL },
#endif
	{ "reports", vr_audit_init, NULL },
	{ "KEKs", vr_kek_init, vr_kek_exit },
	{ "pins", NULL, vr_pins_exit },
	{ "transport key", vr_transport_init, vr_transport_exit },
	{ "sealed shares", NULL, vr_sealed_exit },
	{ "unseals", NULL, vr_unseal_exit },
	{ "requests", vr_upcall_init, vr_upcall_exit },
	{ "netlink family", vr_netlink_init, vr_netlink_exit },
	{ "key type vault-kek", vr_kek_type_init, vr_kek_type_exit },
	{ "key type vault-dek", vr_dek_type_init, vr_dek_type_exit },
	{ "transforms", vr_paes_init, vr_paes_exit },
	{ "gcm(paes)", vr_paes_aead_init, vr_paes_aead_exit },
	{ "phmac(sha256)", vr_phmac_init, vr_phmac_exit },
	{ "key wrap", vr_keywrap_init, vr_keywrap_exit },
};

/*
 * To be called before an algorithm is unregistered.  The crypto API's tester
 * lets go of a new one a moment after that is registered.  It holds the module,
 * too, but that does not keep a load from failing and taking it away again.
 * Then somebody may have the algorithm already, and it must wait for him.
 */
void vr_alg_settle(const struct crypto_alg *alg)
{
	while (refcount_read(&alg->cra_refcnt) > 1)
		usleep_range(1000, 2000);
}

static void vr_unwind(size_t i)
{
	while (i--)
		if (vr_parts[i].exit)
			vr_parts[i].exit();
}

static int __init vr_init(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vr_parts); i++) {
		err = vr_parts[i].init ? vr_parts[i].init() : 0;
		if (!err)
			continue;
		pr_err("%s: %pe%s\n", vr_parts[i].name, ERR_PTR(err),
		       err == -EEXIST ? "; another module has it; see lsmod" : "");
		vr_unwind(i);
		/* modprobe takes -EEXIST for success: "it is loaded". */
		return err == -EEXIST ? -EBUSY : err;
	}
	return 0;
}

static void __exit vr_exit(void)
{
	vr_unwind(ARRAY_SIZE(vr_parts));
}

module_init(vr_init);
module_exit(vr_exit);
MODULE_DESCRIPTION("Keys for dm-crypt and fscrypt, wrapped by vault-held KEKs");
MODULE_AUTHOR("The vaultring authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(VR_VERSION);
MODULE_SOFTDEP("pre: hmac sha256 sha384 gcm aes ecdh_generic");
