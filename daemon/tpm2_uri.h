/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tpm2: URIs, which say where a key is and how its TPM is reached
 *
 *	tpm2:handle=0x81000100
 *	tpm2:file=/etc/vaultring/NAME.tpm?tcti=device:/dev/tpmrm0
 */
#ifndef VAULTRING_TPM2_URI_H
#define VAULTRING_TPM2_URI_H

#include <stdint.h>

#define TPM2_SCHEME		"tpm2:"
#define TPM2_DEVICE		"device:"	/* a TCTI that is a device */
/* For keys of the owner's that stay in the TPM. */
#define TPM2_HANDLE_FIRST	0x81000000
#define TPM2_HANDLE_LAST	0x817fffff

struct tpm2_uri {
	uint32_t handle;	/* 0: it is in file */
	char file[192];
	char tcti[192];		/* KIND:REST */
};

/* Returns NULL, or what is wrong with it. */
const char *tpm2_uri_parse(const char *text, struct tpm2_uri *uri);
/* 0 or -EINVAL */
int tpm2_handle_parse(const char *text, uint32_t *handle);

#endif /* VAULTRING_TPM2_URI_H */
