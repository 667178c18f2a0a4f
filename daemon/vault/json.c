// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What vaults send: JSON, base64
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "json.h"
#include "vault.h"

int body_parse(const struct secret *body, json_t **out)
{
	json_error_t error = { .line = 0 };

	*out = json_loadb((const char *)body->data, body->len,
			  JSON_REJECT_DUPLICATES, &error);
	if (!*out)
		/* Its text can quote what was sent, which may be secret. */
		return vault_fail(-EKEYREJECTED, json_error_code(&error) ==
				  json_error_duplicate_key ?
				  "it sent JSON that has a member twice (byte %d)" :
				  "it sent what is not JSON (byte %d)",
				  error.position);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return vault_fail(-EKEYREJECTED, "it sent JSON that is no object");
}

static int bad(const char *name, const char *what)
{
	return vault_fail(-EKEYREJECTED, "it sent JSON in which \"%s\" is no %s",
			  name, what);
}

static json_t *member(const json_t *in, const char *name)
{
	json_t *value = json_object_get(in, name);

	return json_is_null(value) ? NULL : value;
}

int may_object(const json_t *in, const char *name, json_t **out)
{
	json_t *value = member(in, name);

	if (value && !json_is_object(value))
		return bad(name, "object");
	*out = value ?: *out;
	return 0;
}

int may_string(const json_t *in, const char *name, const char **out)
{
	json_t *value = member(in, name);

	/* One with a zero inside would mean two things. */
	if (value && (!json_is_string(value) ||
		      strlen(json_string_value(value)) !=
		      json_string_length(value)))
		return bad(name, "string");
	/* A server gone mad must not have us log what we sent. */
	if (value && vault_ops.shows_secret &&
	    vault_ops.shows_secret(json_string_value(value)))
		return vault_fail(-EKEYREJECTED, "it sent back a secret of ours as \"%s\"",
				  name);
	*out = value ? json_string_value(value) : *out;
	return 0;
}

int may_integer(const json_t *in, const char *name, json_int_t *out)
{
	json_t *value = member(in, name);

	if (value && !json_is_integer(value))
		return bad(name, "whole number");
	*out = value ? json_integer_value(value) : *out;
	return 0;
}

int may_bool(const json_t *in, const char *name, bool *out)
{
	json_t *value = member(in, name);

	if (value && !json_is_boolean(value))
		return bad(name, "true or false");
	*out = value ? json_is_true(value) : *out;
	return 0;
}

int need_object(const json_t *in, const char *name, json_t **out)
{
	*out = NULL;
	return may_object(in, name, out) ?: *out ? 0 : bad(name, "object");
}

int need_array(const json_t *in, const char *name, json_t **out)
{
	*out = member(in, name);
	return json_is_array(*out) ? 0 : bad(name, "array");
}

int need_string(const json_t *in, const char *name, const char **out)
{
	*out = NULL;
	return may_string(in, name, out) ?: *out ? 0 : bad(name, "string");
}

int need_integer(const json_t *in, const char *name, json_int_t *out)
{
	return member(in, name) ? may_integer(in, name, out) :
	       bad(name, "whole number");
}

ssize_t need_bytes(const json_t *in, const char *name, enum base64 how,
		   void *out, size_t max)
{
	const char *text;
	ssize_t n;
	int err = need_string(in, name, &text);

	if (err)
		return err;
	n = base64_decode(how, text, strlen(text), out, max);
	if (n < 0)
		return vault_fail(-EKEYREJECTED, "it sent JSON in which \"%s\" is not %s of %zu bytes at most",
				  name, how == BASE64_URL ? "base64url" : "base64",
				  max);
	return n;
}

/* 0xff if low <= c <= high, else 0 */
static unsigned int within(unsigned int c, unsigned int low, unsigned int high)
{
	return ((low - 1 - c) & (c - high - 1)) >> 8 & 0xff;
}

/* The value of a digit, or more than 63; looks nothing up. */
static unsigned int digit(enum base64 how, unsigned char c)
{
	unsigned int c62 = how == BASE64_URL ? '-' : '+';
	unsigned int c63 = how == BASE64_URL ? '_' : '/';
	unsigned int found, value;

	value = within(c, 'A', 'Z') & (c - 'A');
	value |= within(c, 'a', 'z') & (c - 'a' + 26);
	value |= within(c, '0', '9') & (c - '0' + 52);
	value |= within(c, c62, c62) & 62;
	value |= within(c, c63, c63) & 63;
	found = within(c, 'A', 'Z') | within(c, 'a', 'z') |
		within(c, '0', '9') | within(c, c62, c62) |
		within(c, c63, c63);
	return value | ((found - 1) & 0x100);
}

ssize_t base64_decode(enum base64 how, const char *in, size_t len, void *out,
		      size_t max)
{
	unsigned int bits = 0, n_bits = 0, bad_digits = 0, d;
	uint8_t *p = out;
	size_t i;

	if (how == BASE64_STD) {
		if (len % 4)
			return -EINVAL;
		for (i = 0; i < 2 && len && in[len - 1] == '='; i++)
			len--;
	}
	if (len % 4 == 1 || len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0) > max)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		d = digit(how, in[i]);
		bad_digits |= d & 0x100;
		bits = (bits << 6 | (d & 63)) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*p++ = bits >> n_bits;
		}
	}
	/* Else several texts would mean the same. */
	if (bad_digits || (bits & ((1U << n_bits) - 1))) {
		explicit_bzero(out, p - (uint8_t *)out);
		return -EINVAL;
	}
	return p - (uint8_t *)out;
}

size_t base64_encode(enum base64 how, const void *in, size_t len, char *out)
{
	static const char digits[2][65] = {
		[BASE64_STD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
		[BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
	};
	unsigned int bits = 0, n_bits = 0;
	const uint8_t *p = in;
	char *o = out;

	while (len--) {
		bits = (bits << 8 | *p++) & 0xffff;
		n_bits += 8;
		while (n_bits >= 6) {
			n_bits -= 6;
			*o++ = digits[how][bits >> n_bits & 63];
		}
	}
	if (n_bits)
		*o++ = digits[how][bits << (6 - n_bits) & 63];
	while (how == BASE64_STD && (o - out) % 4)
		*o++ = '=';
	*o = 0;
	return o - out;
}
