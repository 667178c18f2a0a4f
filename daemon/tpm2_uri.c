// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tpm2: URIs, which say where a key is and how its TPM is reached
 *
 * As in RFC 7512: attributes of the key between ";", those of how to get to it
 * after "?" between "&", all of them percent-encoded where need be.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tpm2_uri.h"
#include "util.h"

#define DEFAULT_TCTI	TPM2_DEVICE "/dev/tpmrm0"

int tpm2_handle_parse(const char *text, uint32_t *handle)
{
	unsigned long value;
	char *end;

	if (strncasecmp(text, "0x", 2) || !isxdigit((unsigned char)text[2]) ||
	    strlen(text) > 10)
		return -EINVAL;
	value = strtoul(text, &end, 16);
	if (*end || value < TPM2_HANDLE_FIRST || value > TPM2_HANDLE_LAST)
		return -EINVAL;
	*handle = value;
	return 0;
}

/* Takes [text, end); false: too long, or not percent-encoded as it should be. */
static bool decode(const char *text, const char *end, char *out, size_t size)
{
	unsigned char c;

	for (; text < end; text++) {
		c = *text;
		if (c == '%') {
			char hex[3] = { text[1], text[1] ? text[2] : 0, 0 };

			if (end - text < 3 || hex_decode(hex, &c, 1) || !c)
				return false;
			text += 2;
		}
		if (size < 2 || iscntrl(c))
			return false;
		*out++ = c;
		size--;
	}
	*out = 0;
	return true;
}

static const char *take_key(const char *name, size_t len, const char *value,
			    struct tpm2_uri *uri)
{
	if (len == 6 && !strncmp(name, "handle", len)) {
		if (uri->handle)
			return "its uri has two handles";
		return tpm2_handle_parse(value, &uri->handle) ?
		       "the handle in its uri is not one of 0x81000000 to 0x817fffff" :
		       NULL;
	}
	if (len == 4 && !strncmp(name, "file", len)) {
		if (*uri->file)
			return "its uri has two files";
		if (*value != '/' || !copy_text(uri->file, sizeof(uri->file),
						value))
			return "the file in its uri is not a full path";
		return NULL;
	}
	return "its uri has an attribute that is neither handle nor file";
}

/*
 * Other TCTIs start programs, or load libraries from anywhere: a worker can do
 * neither.
 */
static const char *take_way(const char *name, size_t len, const char *value,
			    struct tpm2_uri *uri)
{
	if (len != 4 || strncmp(name, "tcti", len))
		return "its uri has an attribute after ? that is not tcti";
	if (*uri->tcti)
		return "its uri has two tctis";
	if (strncmp(value, TPM2_DEVICE "/dev/", strlen(TPM2_DEVICE "/dev/")) &&
	    strncmp(value, "swtpm:", 6))
		return "the tcti in its uri is neither device:/dev/... nor swtpm:...";
	copy_text(uri->tcti, sizeof(uri->tcti), value);
	return NULL;
}

/* One attribute after the other of [text, end). */
static const char *take_all(const char *text, const char *end, char between,
			    const char *(*take)(const char *name, size_t len,
						const char *value,
						struct tpm2_uri *uri),
			    struct tpm2_uri *uri)
{
	const char *stop, *equals, *wrong = NULL;
	char value[sizeof(uri->tcti)] = "";

	for (; !wrong && text < end; text = stop + 1) {
		stop = memchr(text, between, end - text) ?: end;
		equals = memchr(text, '=', stop - text);
		if (!equals)
			return "its uri has something that is not name=value";
		if (!decode(equals + 1, stop, value, sizeof(value)))
			return "its uri has a value that is too long or not percent-encoded as it should be";
		wrong = take(text, equals - text, value, uri);
	}
	return wrong;
}

const char *tpm2_uri_parse(const char *text, struct tpm2_uri *uri)
{
	const char *end = text + strlen(text), *query, *wrong;

	*uri = (struct tpm2_uri){ 0 };
	if (strncmp(text, TPM2_SCHEME, strlen(TPM2_SCHEME)))
		return "its uri does not begin with tpm2:";
	text += strlen(TPM2_SCHEME);
	query = strchrnul(text, '?');
	wrong = take_all(text, query, ';', take_key, uri);
	if (!wrong && *query)
		wrong = take_all(query + 1, end, '&', take_way, uri);
	if (!wrong && !uri->handle == !*uri->file)
		wrong = "its uri has neither, or both, of handle=0x81... and file=/...";
	if (!wrong && !*uri->tcti)
		copy_text(uri->tcti, sizeof(uri->tcti), DEFAULT_TCTI);
	return wrong;
}
