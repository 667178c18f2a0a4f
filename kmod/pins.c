// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins: which vault keys shares may be made for, and which id a name has
 *
 * A public-key exchange does not prove who answers, and the daemon is not
 * trusted.  So root says, in a file that the daemon cannot write, which vault
 * keys are ours and which KEK a name stands for.  Until that file has been
 * loaded, no KEK is made.
 */

#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "vr.h"

struct vr_pins {
	unsigned int vaults, keks;
	u8 (*vault)[VAULTRING_FINGERPRINT_SIZE];
	struct {
		char name[VAULTRING_MAX_NAME + 1];
		u8 id[VAULTRING_ID_SIZE];
	} *kek;
};

static DEFINE_MUTEX(vr_pins_lock);
static struct vr_pins *vr_pins;		/* vr_pins_lock; NULL: not loaded yet */

/* Room for that many pins, to be filled by vr_pins_add_*(). */
struct vr_pins *vr_pins_alloc(unsigned int vaults, unsigned int keks)
{
	struct vr_pins *pins = kzalloc(sizeof(*pins), GFP_KERNEL);

	if (!pins)
		return NULL;
	pins->vault = kvcalloc(max(vaults, 1U), sizeof(*pins->vault),
			       GFP_KERNEL);
	pins->kek = kvcalloc(max(keks, 1U), sizeof(*pins->kek), GFP_KERNEL);
	if (!pins->vault || !pins->kek) {
		vr_pins_free(pins);
		return NULL;
	}
	return pins;
}

void vr_pins_add_vault(struct vr_pins *pins, const u8 *fingerprint)
{
	memcpy(pins->vault[pins->vaults++], fingerprint,
	       sizeof(*pins->vault));
}

void vr_pins_add_kek(struct vr_pins *pins, const char *name, const u8 *id)
{
	strscpy(pins->kek[pins->keks].name, name,
		sizeof(pins->kek[pins->keks].name));
	memcpy(pins->kek[pins->keks++].id, id, VAULTRING_ID_SIZE);
}

void vr_pins_free(struct vr_pins *pins)
{
	if (!pins)
		return;
	kvfree(pins->vault);
	kvfree(pins->kek);
	kfree(pins);
}

/* From now on these hold and no others. */
void vr_pins_install(struct vr_pins *pins)
{
	mutex_lock(&vr_pins_lock);
	swap(vr_pins, pins);
	mutex_unlock(&vr_pins_lock);
	vr_pins_free(pins);
}

bool vr_pins_allow_vault(const u8 *fingerprint)
{
	bool found = false;
	unsigned int i;

	mutex_lock(&vr_pins_lock);
	for (i = 0; vr_pins && !found && i < vr_pins->vaults; i++)
		found = !memcmp(vr_pins->vault[i], fingerprint,
				VAULTRING_FINGERPRINT_SIZE);
	mutex_unlock(&vr_pins_lock);
	return found;
}

/* A name without pins may have any id; vr_pins_lock is held. */
static bool kek_allowed(const char *name, const u8 *id)
{
	bool found = false, pinned = false;
	unsigned int i;

	for (i = 0; !found && i < vr_pins->keks; i++) {
		if (strcmp(vr_pins->kek[i].name, name))
			continue;
		pinned = true;
		found = !memcmp(vr_pins->kek[i].id, id, VAULTRING_ID_SIZE);
	}
	return found || !pinned;
}

/*
 * May this KEK have that name?  -EKEYREJECTED: it is pinned to another one;
 * -ENOKEY: no pins have been loaded, which may say so.
 */
int vr_pins_check_kek(const char *name, const u8 *id,
		      struct netlink_ext_ack *extack)
{
	int err = 0;

	mutex_lock(&vr_pins_lock);
	if (!vr_pins) {
		NL_SET_ERR_MSG(extack, "no pins are loaded; try: vaultring vault pin --load");
		err = -ENOKEY;
	} else if (!kek_allowed(name, id)) {
		NL_SET_ERR_MSG(extack, "the name is pinned to another KEK");
		err = -EKEYREJECTED;
	}
	mutex_unlock(&vr_pins_lock);
	return err;
}

void vr_pins_exit(void)
{
	vr_pins_install(NULL);
}
