// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the fuzzers of a worker's parts: in place of common.c
 */

#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fuzz_vault.h"
#include "util.h"

const char *fuzz_settings[64];
const uint8_t *fuzz_wanted;
char fuzz_failure[512];

static bool is_here;

void fuzz_set(const char *name, const char *value)
{
	const char **p;

	for (p = fuzz_settings; *p && strcmp(*p, name); p += 2)
		;
	HOLDS(p < fuzz_settings + 60);
	p[0] = name;
	p[1] = value;
}

const char *vault_setting(const char *name)
{
	const char **p;

	for (p = fuzz_settings; *p; p += 2)
		if (!strcmp(*p, name))
			return p[1];
	return NULL;
}

void vault_say(bool here, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(fuzz_failure, sizeof(fuzz_failure), format, ap);
	va_end(ap);
	is_here = here;
}

void fuzz_begin(void)
{
	*fuzz_failure = 0;
	is_here = false;
}

void fuzz_judge(int err)
{
	if (!err)
		return;
	HOLDS(err == -EAGAIN || err == -ENOKEY || err == -EKEYREJECTED);
	HOLDS(*fuzz_failure);
	HOLDS(!is_here || err == -ENOKEY);
}

bool vault_awaited(void)
{
	return true;
}

uint64_t vault_deadline(void)
{
	return now_usec() + 5000000;
}

long vault_connect_ms(void)
{
	return 3000;
}

void vault_rests(long seconds)
{
	HOLDS(seconds >= 0);
}

const uint8_t *vault_wanted(void)
{
	return fuzz_wanted;
}

/* Nothing is run here. */
int sandbox_enter_runner(void)
{
	fuzz_broken(__FILE__, __LINE__, "nothing is run");
}

void fuzz_transport(uint8_t spki[FUZZ_TRANSPORT_SIZE])
{
	static const uint8_t head[] = {
		0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86,
		0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03,
		0x82, 0x01, 0x8f, 0x00, 0x30, 0x82, 0x01, 0x8a, 0x02, 0x82,
		0x01, 0x81, 0x00,
	};
	static const uint8_t exponent[] = { 0x02, 0x03, 0x01, 0x00, 0x01 };

	_Static_assert(sizeof(head) + 384 + sizeof(exponent) ==
		       FUZZ_TRANSPORT_SIZE, "of 3072 bits");
	memcpy(spki, head, sizeof(head));
	/* No product of two primes, which nobody asks for. */
	memset(spki + sizeof(head), 0xa5, 384);
	memcpy(spki + sizeof(head) + 384, exponent, sizeof(exponent));
}

bool fuzz_is_rsa(const uint8_t *spki, size_t len)
{
	const uint8_t *p = spki;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)len);
	bool good = key && p == spki + len && EVP_PKEY_is_a(key, "RSA") &&
		    EVP_PKEY_get_bits(key) >= 2048 &&
		    EVP_PKEY_get_bits(key) <= 4096;

	EVP_PKEY_free(key);
	return good;
}
