// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * JSON and base64 of vaults
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "fuzz_vault.h"
#include "vault/json.h"

#define BYTES	48

/* What has no second spelling comes out as it went in. */
static void check_base64(enum base64 how, const char *text, size_t len)
{
	size_t room = len / 4 * 3 + 3;
	char *copy = fuzz_copy(text, len), *again;
	uint8_t *out = malloc(room);
	ssize_t n;

	HOLDS(out);
	n = base64_decode(how, copy, len, out, room);
	if (n >= 0) {
		HOLDS((size_t)n <= room);
		again = malloc(BASE64_SIZE(n));
		HOLDS(again && base64_encode(how, out, n, again) == len &&
		      !memcmp(again, text, len));
		free(again);
		/* Into no more room than it needs, and not into less. */
		out = realloc(out, n ? n : 1);
		HOLDS(out && base64_decode(how, copy, len, out, n) == n);
		HOLDS(!n || base64_decode(how, copy, len, out, n - 1) < 0);
	}
	free(out);
	free(copy);
}

static void check_encoding(enum base64 how, const uint8_t *data, size_t len)
{
	char *text = malloc(BASE64_SIZE(len));
	uint8_t *back = malloc(len ? len : 1);
	size_t n;

	HOLDS(text && back);
	n = base64_encode(how, data, len, text);
	HOLDS(n == strlen(text) && n < BASE64_SIZE(len));
	HOLDS(base64_decode(how, text, n, back, len) == (ssize_t)len);
	HOLDS(!len || !memcmp(back, data, len));
	free(back);
	free(text);
}

/* 0 if it is there and of that type; "may" takes what is missing, or null, too. */
static void check_member(const json_t *in, const char *name, const json_t *value)
{
	static char out[BYTES];
	const char *text = "unset";
	json_t *json = NULL;
	json_int_t number = 42;
	bool truth = true;
	ssize_t n;

	HOLDS(!need_object(in, name, &json) == json_is_object(value));
	HOLDS(!need_array(in, name, &json) == json_is_array(value));
	HOLDS(!need_integer(in, name, &number) == json_is_integer(value));
	HOLDS(!may_integer(in, name, &number) ==
	      (json_is_integer(value) || json_is_null(value)));
	HOLDS(!may_bool(in, name, &truth) ==
	      (json_is_boolean(value) || json_is_null(value)));
	HOLDS(!may_string(in, name, &text) ==
	      (json_is_string(value) || json_is_null(value)));
	if (json_is_null(value))
		HOLDS(number == 42 && truth && !strcmp(text, "unset"));
	HOLDS(!need_string(in, name, &text) == json_is_string(value));
	if (json_is_string(value))
		HOLDS(text == json_string_value(value));
	n = need_bytes(in, name, BASE64_URL, out, sizeof(out));
	HOLDS(n <= BYTES && (n < 0 || json_is_string(value)));
	n = need_bytes(in, name, BASE64_STD, out, sizeof(out));
	HOLDS(n <= BYTES && (n < 0 || json_is_string(value)));
}

static void check_object(json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		check_member(object, name, value);
		if (json_is_object(value))
			check_object(value);
	}
}

static void check_json(const uint8_t *data, size_t len)
{
	struct secret body = { .data = fuzz_copy(data, len), .len = len };
	json_t *json = (void *)1, *again;
	char *text;
	int err;

	fuzz_begin();
	err = body_parse(&body, &json);
	fuzz_judge(err);
	HOLDS(!err == !!json && (err || json_is_object(json)));
	if (!err) {
		check_object(json);
		/* An escape of a zero would end a text early. */
		text = json_dumps(json, JSON_COMPACT);
		HOLDS(text);
		again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		HOLDS(json_equal(json, again));
		json_decref(again);
		free(text);
	}
	json_decref(json);
	free(body.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_json(data, len);
	check_base64(BASE64_STD, (const char *)data, len);
	check_base64(BASE64_URL, (const char *)data, len);
	check_encoding(BASE64_STD, data, len);
	check_encoding(BASE64_URL, data, len);
	return 0;
}
