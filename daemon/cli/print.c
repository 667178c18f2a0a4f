// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What people and programs read: messages, tables, JSON, and the names of
 * uses, times and errors
 */

#include <stdlib.h>
#include <string.h>

#include "cli.h"

void say_error(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "vaultring: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

/* Progress and remarks: not errors, and not what a script wants on stdout. */
void say_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

int print_json(json_t *stolen)
{
	int err = !stolen || json_dumpf(stolen, stdout, JSON_INDENT(2) |
				    JSON_REAL_PRECISION(6));

	json_decref(stolen);
	printf("\n");
	if (err)
		say_error("standard output: cannot write JSON");
	return err ? FAILED : DONE;
}

void table_row(struct table *table, ...)
{
	char **cells = realloc(table->cells, sizeof(char *) * TABLE_COLUMNS *
			       (size_t)(table->rows + 1));
	const char *cell;
	va_list args;
	int i = 0;

	if (!cells)
		abort();
	table->cells = cells;
	va_start(args, table);
	while ((cell = va_arg(args, const char *)) && i < TABLE_COLUMNS) {
		table->cells[table->rows * TABLE_COLUMNS + i] = strdup(cell);
		i++;
	}
	va_end(args);
	table->columns = i;
	table->rows++;
}

static int column_width(const struct table *table, int column)
{
	int row, width = 0;

	for (row = 0; row < table->rows; row++) {
		const char *cell = table->cells[row * TABLE_COLUMNS + column];

		if ((int)strlen(cell) > width)
			width = (int)strlen(cell);
	}
	return width;
}

void table_print(struct table *table)
{
	int widths[TABLE_COLUMNS], row, i;

	for (i = 0; i < table->columns; i++)
		widths[i] = column_width(table, i);
	for (row = 0; row < table->rows; row++) {
		for (i = 0; i < table->columns; i++) {
			char *cell = table->cells[row * TABLE_COLUMNS + i];
			bool last = i == table->columns - 1;

			printf("%-*s%s", last ? 0 : widths[i], cell,
			       last ? "\n" : "  ");
			free(cell);
		}
	}
	free(table->cells);
	memset(table, 0, sizeof(*table));
}

const char *format_lease(char *buf, size_t size, const json_t *seconds)
{
	json_int_t s = json_integer_value(seconds);

	if (!json_is_integer(seconds))
		snprintf(buf, size, "none");
	else if (s < 120)
		snprintf(buf, size, "%llds", (long long)s);
	else if (s < 2 * 3600)
		snprintf(buf, size, "%lldm", (long long)s / 60);
	else if (s < 48 * 3600)
		snprintf(buf, size, "%lldh%02lldm", (long long)s / 3600,
			 (long long)s / 60 % 60);
	else
		snprintf(buf, size, "%lldd", (long long)s / 86400);
	return buf;
}

const char *format_time(char *buf, size_t size, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!seconds || !gmtime_r(&t, &tm) ||
	    !strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(buf, size, "-");
	return buf;
}

char *format_list(const json_t *array, const char *empty)
{
	char *text = NULL;
	size_t i, size;
	json_t *item;
	FILE *out;

	if (!json_array_size(array))
		return strdup(empty);
	out = open_memstream(&text, &size);
	if (!out)
		abort();
	json_array_foreach(array, i, item) {
		if (json_is_string(item))
			fprintf(out, "%s%s", i ? "," : "",
				json_string_value(item));
		else
			fprintf(out, "%s%lld", i ? "," : "",
				(long long)json_integer_value(item));
	}
	fclose(out);
	return text;
}

static const char *const use_names[] = {
	[VAULTRING_USE_XTS] = "xts",
	[VAULTRING_USE_CBC] = "cbc",
	[VAULTRING_USE_CTR] = "ctr",
	[VAULTRING_USE_GCM] = "gcm",
	[VAULTRING_USE_FSCRYPT] = "fscrypt",
	[VAULTRING_USE_HMAC] = "hmac",
	[VAULTRING_USE_TRANSPORT] = "transport",
};

const char *use_name(unsigned int use)
{
	return use <= VAULTRING_USE_TRANSPORT ? use_names[use] : NULL;
}

unsigned int use_number(const char *name)
{
	unsigned int use;

	for (use = 1; use <= VAULTRING_USE_TRANSPORT; use++)
		if (!strcmp(name, use_names[use]))
			return use;
	return 0;
}

json_t *use_list(uint32_t mask)
{
	json_t *list = json_array();
	unsigned int use;

	for (use = 1; use <= VAULTRING_USE_TRANSPORT; use++)
		if (mask & 1U << use)
			json_array_append_new(list, json_string(use_names[use]));
	return list;
}
