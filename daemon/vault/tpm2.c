// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that are TPMs: the settings and the connection
 *
 * Nothing is kept between requests but that a PIN was refused: the TPM is opened
 * for each and closed after it, so one that was cleared, restarted or given
 * another key is noticed without guessing, and others can use it meanwhile.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "../log.h"
#include "../util.h"
#include "tpm2.h"

#define N_PCRS 24

static struct tpm tpm = {
	.pin = { .asker = "the TPM", .what = "PIN", .setting = "pin-source" },
};

/* Codes of format one carry the number of a parameter, handle or session. */
TSS2_RC tpm_code(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	if (layer && layer != TSS2_RESMGR_TPM_RC_LAYER)
		return rc;
	rc &= ~TSS2_RC_LAYER_MASK;
	if (rc & TPM2_RC_FMT1)
		rc &= TPM2_RC_FMT1 | 0x3f;
	return rc;
}

int tpm_fail(const char *what, TSS2_RC rc)
{
	int err;

	switch (tpm_code(rc)) {
	case TPM2_RC_ATTRIBUTES:
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_AUTH_TYPE:
	case TPM2_RC_AUTH_UNAVAILABLE:
	case TPM2_RC_BAD_AUTH:
	case TPM2_RC_COMMAND_CODE:
	case TPM2_RC_CURVE:
	case TPM2_RC_DISABLED:
	case TPM2_RC_HANDLE:
	case TPM2_RC_HIERARCHY:
	case TPM2_RC_INTEGRITY:
	case TPM2_RC_KEY:
	case TPM2_RC_LOCKOUT:
	case TPM2_RC_NV_DEFINED:
	case TPM2_RC_NV_SPACE:
	case TPM2_RC_PCR_CHANGED:
	case TPM2_RC_POLICY_FAIL:
	case TPM2_RC_RANGE:
	case TPM2_RC_SCHEME:
	case TPM2_RC_TYPE:
		err = -ENOKEY;
		break;
	case TPM2_RC_ECC_POINT:
	case TPM2_RC_NO_RESULT:
	case TPM2_RC_SIZE:
	case TPM2_RC_VALUE:
	case TSS2_ESYS_RC_INSUFFICIENT_RESPONSE:
	case TSS2_ESYS_RC_MALFORMED_RESPONSE:
	case TSS2_ESYS_RC_RSP_AUTH_FAILED:
		err = -EKEYREJECTED;
		break;
	default:
		/* Busy, testing itself, out of memory, gone: it may come back. */
		err = -EAGAIN;
	}
	return vault_fail(err, "%s failed: %s (0x%x)", what, Tss2_RC_Decode(rc),
			  rc);
}

/* The TCTI would say no more than that it failed. */
static int check_device(const char *path)
{
	char class[128];
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), err = errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	snprintf(class, sizeof(class), "/sys/class/tpmrm/%s",
		 strrchr(path, '/') + 1);
	if (err == EACCES || err == EPERM ||
	    (err == ENOENT && !access(class, F_OK)))
		return vault_fail(-EAGAIN, "vaultringd may not use %s: %s; copy /usr/share/doc/vaultring/examples/tpm2.conf to /etc/systemd/system/vaultringd.service.d/, see: man vaultringd",
				  path, strerror(err));
	return vault_fail(-EAGAIN, "no TPM 2.0 at %s: %s; it may be switched off in the firmware's settings",
			  path, strerror(err));
}

int tpm_open(struct tpm *t)
{
	TSS2_RC rc;
	int err;

	if (t->esys)
		return 0;
	if (!strncmp(t->uri.tcti, TPM2_DEVICE, strlen(TPM2_DEVICE))) {
		err = check_device(t->uri.tcti + strlen(TPM2_DEVICE));
		if (err)
			return err;
	}
	if (!t->tcti) {
		rc = Tss2_TctiLdr_Initialize(t->uri.tcti, &t->tcti);
		/* What it leaves there is not to be used, or freed. */
		if (rc)
			t->tcti = NULL;
		if (rc)
			return vault_fail(-EAGAIN, "cannot reach the TPM by %s: %s (0x%x)",
					  t->uri.tcti, Tss2_RC_Decode(rc), rc);
	}
	rc = Esys_Initialize(&t->esys, t->tcti, NULL);
	return rc ? tpm_fail("connecting to the TPM", rc) : 0;
}

static void tpm_rest(void)
{
	if (tpm.esys && tpm.key.transient)
		tpm_flush(&tpm, &tpm.key.object);
	tpm.key = (struct tpm_key){ .object = ESYS_TR_NONE };
	Esys_Finalize(&tpm.esys);
	Tss2_TctiLdr_Finalize(&tpm.tcti);
}

static int tpm_use(const char *name)
{
	int err = tpm_open(&tpm);

	if (!err)
		err = tpm_key_find(&tpm, name);
	return err ?: tpm_key_judge(&tpm, &tpm.key);
}

static int tpm_public_key(const char *name, bool fresh, uint8_t *spki,
			  size_t *len)
{
	int err;

	if (fresh)
		tpm.pin.n_refused = 0;
	err = tpm_use(name);
	return err ?: tpm_key_spki(&tpm.key, spki, len);
}

static int tpm_poll(const char *name, uint8_t *spki, size_t *len)
{
	return tpm_public_key(name, false, spki, len);
}

static int tpm_do_exchange(const char *name, const uint8_t point[POINT_SIZE],
			   uint8_t x[X_SIZE])
{
	int err = tpm_use(name);

	return err ?: tpm_exchange(&tpm, point, x);
}

static int tpm_do_init(struct vault_made *made)
{
	return tpm_init(&tpm, made);
}

/* BANK:N,N... */
static int parse_pcrs(const char *text, TPML_PCR_SELECTION *pcrs)
{
	static const struct {
		const char *name;
		TPMI_ALG_HASH hash;
	} banks[] = {
		{ "sha1:", TPM2_ALG_SHA1 }, { "sha256:", TPM2_ALG_SHA256 },
		{ "sha384:", TPM2_ALG_SHA384 }, { "sha512:", TPM2_ALG_SHA512 },
	};
	TPMS_PCR_SELECTION *bank = &pcrs->pcrSelections[0];
	unsigned long n;
	char *end;
	size_t i;

	*pcrs = (TPML_PCR_SELECTION){ .count = 1 };
	bank->sizeofSelect = N_PCRS / 8;
	for (i = 0; i < ARRAY_SIZE(banks); i++)
		if (!strncmp(text, banks[i].name, strlen(banks[i].name)))
			break;
	if (i == ARRAY_SIZE(banks))
		return -EINVAL;
	bank->hash = banks[i].hash;
	text += strlen(banks[i].name) - 1;
	do {
		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = strtoul(text, &end, 10);
		if (n >= N_PCRS)
			return -EINVAL;
		bank->pcrSelect[n / 8] |= 1 << n % 8;
		text = end;
	} while (*text == ',');
	return *text ? -EINVAL : 0;
}

static int tpm_configure(void)
{
	const char *wrong = tpm2_uri_parse(vault_setting("uri"), &tpm.uri);
	int err;

	if (wrong)
		return vault_fail(-ENOKEY, "%s", wrong);
	tpm.pcrs_text = vault_setting("pcrs");
	if (tpm.pcrs_text && parse_pcrs(tpm.pcrs_text, &tpm.pcrs))
		return vault_fail(-ENOKEY, "its pcrs are not like sha256:7,11: %s",
				  tpm.pcrs_text);
	err = pin_configure(&tpm.pin, vault_setting("pin-source"));
	if (err)
		return err;
	/* What its libraries have to say comes back as a code, too. */
	setenv("TSS2_LOG", "all+NONE", false);
	tpm.key.object = ESYS_TR_NONE;
	if (!strncmp(tpm.uri.tcti, TPM2_DEVICE, strlen(TPM2_DEVICE)) &&
	    sandbox_end_sockets())
		return vault_fail(-EAGAIN, "cannot give up sockets");
	return 0;
}

static const char *const tpm_settings[] = {
	"uri", "pin-source", "pcrs", "environment", NULL
};

/* Loading the TCTI, files, memory, one device or one socket. */
static const char *const tpm_calls[] = {
	"openat", "open", "read", "pread64", "write", "writev", "lseek",
	"close", "fcntl", "fstat", "newfstatat", "stat", "statx", "access",
	"faccessat", "faccessat2", "poll", "ppoll", "readlink",
	"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock",
	"mlock2", "munlock", "futex", "getrandom", "getpid", "gettid",
	"clock_gettime", "clock_nanosleep", "nanosleep", "sched_yield",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"alarm", "setitimer",
	"restart_syscall", "exit", "exit_group", "seccomp",
	"socket", "connect", "sendto", "recvfrom", "getsockopt", "setsockopt",
	NULL
};

const struct vault_ops vault_ops = {
	.scheme		= "tpm2",
	.settings	= tpm_settings,
	.calls		= tpm_calls,
	.configure	= tpm_configure,
	.public_key	= tpm_public_key,
	.poll		= tpm_poll,
	.exchange	= tpm_do_exchange,
	.init		= tpm_do_init,
	.rest		= tpm_rest,
	.close		= tpm_rest,
};
