/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file in which root keeps the kernel's transport key across boots
 *
 * It is in root's folder, not in the daemon's: vaults release their keys for
 * whatever is loaded from it.
 */
#ifndef VAULTRING_KEPT_H
#define VAULTRING_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vaultring_format.h>

#define KEPT_FOLDER	"/etc/vaultring"
#define KEPT_NAME	"transport.key"
#define KEPT_FILE	KEPT_FOLDER "/" KEPT_NAME
#define KEPT_NOT_LOADED	"the transport key that this host keeps is not loaded; " \
			"try: vaultring transport load"

/* -ENOENT: none is kept; -EINVAL: it is something else */
int kept_read(struct vaultring_transport *kept);
/* Whether its public half is that DER SubjectPublicKeyInfo. */
bool kept_is(const struct vaultring_transport *kept, const uint8_t *spki,
	     size_t len);
/* Whether a key is kept and it is not that one; NULL: there is none yet. */
bool kept_not_loaded(const uint8_t *spki, size_t len);

#endif /* VAULTRING_KEPT_H */
