// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the kept transport key, as far as it is public
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"
#include "util.h"

/* Of RSA-3072: what comes before the modulus, and the exponent behind it. */
#define SPKI_HEAD	33
#define SPKI_SIZE	422

int kept_read(struct vaultring_transport *kept)
{
	uint8_t *data;
	size_t len;
	int err = file_read(AT_FDCWD, KEPT_FILE, 4096, &data, &len);

	_Static_assert(sizeof(*kept) == 820, "the format has no padding");
	if (err)
		return err == -EFBIG ? -EINVAL : err;
	if (len != sizeof(*kept) ||
	    memcmp(data, VAULTRING_TRANSPORT_MAGIC, sizeof(kept->magic)))
		err = -EINVAL;
	else
		memcpy(kept, data, sizeof(*kept));
	free(data);
	return err;
}

bool kept_is(const struct vaultring_transport *kept, const uint8_t *spki,
	     size_t len)
{
	return len == SPKI_SIZE && !memcmp(spki + SPKI_HEAD, kept->modulus,
					   sizeof(kept->modulus));
}

bool kept_not_loaded(const uint8_t *spki, size_t len)
{
	struct vaultring_transport kept;
	int err = kept_read(&kept);

	/* One that cannot be read may be the one that the vaults know. */
	return err ? err != -ENOENT : !spki || !kept_is(&kept, spki, len);
}
