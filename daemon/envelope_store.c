// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The envelopes on disk
 *
 * What is kept in memory is an index.  The bytes are read from the file each
 * time they are used, so that what was restored or damaged since counts.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "envelope_store.h"
#include "log.h"

#define SUFFIX ".env"
/* Changes within one tick of the folder's clock look alike. */
#define CLOCK_TICK_NSEC 50000000L

struct store {
	char path[4096];
	int dir;
	struct timespec read_at;	/* the folder's mtime; 0: read again */
	struct envelope *list;
	size_t n, room;
};

static bool file_name_parse(const char *file, char *name, uint32_t *version)
{
	const char *at = strrchr(file, '@');
	char check[ENVELOPE_FILE_MAX];
	unsigned long v;
	char *end;

	if (!at || at == file || at - file > VAULTRING_MAX_NAME)
		return false;
	memcpy(name, file, at - file);
	name[at - file] = 0;
	v = strtoul(at + 1, &end, 10);
	if (strcmp(end, SUFFIX) || !v || v > UINT32_MAX || !name_ok(name))
		return false;
	*version = v;
	/* One spelling only: no sign, no leading zeros. */
	snprintf(check, sizeof(check), "%s@%lu%s", name, v, SUFFIX);
	return !strcmp(check, file);
}

static struct envelope *list_grow(struct store *store)
{
	struct envelope *list;
	size_t room;

	if (store->n == store->room) {
		room = store->room ? 2 * store->room : 16;
		list = realloc(store->list, room * sizeof(*list));
		if (!list)
			return NULL;
		store->list = list;
		store->room = room;
	}
	return &store->list[store->n++];
}

static const char *load(struct store *store, const char *file,
			struct envelope *e)
{
	uint8_t *data;
	const char *damage;
	size_t len;
	int err;

	memset(e, 0, sizeof(*e));
	err = file_read(store->dir, file, VAULTRING_MAX_ENVELOPE, &data, &len);
	if (err)
		return err == -EFBIG ? "it is too long" : strerrordesc_np(-err);
	damage = envelope_parse(data, len, e);
	free(data);
	return damage;
}

static void add_file(struct store *store, const char *file)
{
	struct envelope *e;
	char name[VAULTRING_MAX_NAME + 1];
	uint32_t version;
	size_t len = strlen(file);

	if (len < strlen(SUFFIX) || strcmp(file + len - strlen(SUFFIX), SUFFIX))
		return;
	if (!file_name_parse(file, name, &version)) {
		log_err("%s/%s: not a name of the form NAME@VERSION%s; skipped",
			store->path, file, SUFFIX);
		return;
	}
	e = list_grow(store);
	if (!e) {
		log_err("%s/%s: out of memory; skipped", store->path, file);
		return;
	}
	e->damage = load(store, file, e);
	if (!e->damage && (strcmp(e->name, name) || e->version != version))
		e->damage = "its name or version is not that of its file";
	if (e->damage)
		log_err("%s/%s: damaged, skipped: %s; restore it from a backup",
			store->path, file, e->damage);
	copy_text(e->name, sizeof(e->name), name);
	e->version = version;
	snprintf(e->file, sizeof(e->file), "%s", file);
}

static int compare(const void *a, const void *b)
{
	const struct envelope *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ?: (x->version > y->version) - (x->version < y->version);
}

static int read_folder(struct store *store)
{
	struct dirent *entry;
	DIR *dir;
	int fd = openat(store->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	store->n = 0;
	while ((entry = readdir(dir)))
		add_file(store, entry->d_name);
	closedir(dir);
	if (store->n)
		qsort(store->list, store->n, sizeof(*store->list), compare);
	return 0;
}

/* A file that was restored in its place leaves the folder as it was. */
static bool any_restored(struct store *store)
{
	struct envelope now;
	size_t i;

	for (i = 0; i < store->n; i++) {
		const struct envelope *e = &store->list[i];

		if (e->damage && !load(store, e->file, &now) &&
		    !strcmp(now.name, e->name) && now.version == e->version)
			return true;
	}
	return false;
}

static void refresh(struct store *store)
{
	struct timespec now;
	struct stat st;
	int err;

	if (fstat(store->dir, &st)) {
		log_err("%s: %m", store->path);
		return;
	}
	if (st.st_mtim.tv_sec == store->read_at.tv_sec &&
	    st.st_mtim.tv_nsec == store->read_at.tv_nsec &&
	    !any_restored(store))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	err = read_folder(store);
	if (err)
		log_err("%s: %s", store->path, strerror(-err));
	/* Changed a moment ago: it may change again without looking so. */
	if (err || (now.tv_sec - st.st_mtim.tv_sec) * 1000000000L +
	    now.tv_nsec - st.st_mtim.tv_nsec < CLOCK_TICK_NSEC)
		store->read_at = (struct timespec){ 0 };
	else
		store->read_at = st.st_mtim;
}

size_t store_list(struct store *store, const struct envelope **list)
{
	refresh(store);
	*list = store->list;
	return store->n;
}

const struct envelope *store_find(struct store *store, const char *name,
				  uint32_t version)
{
	const struct envelope *found = NULL;
	size_t i;

	refresh(store);
	for (i = 0; i < store->n; i++)
		if (!strcmp(store->list[i].name, name) &&
		    (!version || store->list[i].version == version))
			found = &store->list[i];
	return found;
}

const struct envelope *store_find_id(struct store *store,
				     const uint8_t id[VAULTRING_ID_SIZE])
{
	size_t i;

	refresh(store);
	for (i = 0; i < store->n; i++)
		if (!store->list[i].damage &&
		    !memcmp(store->list[i].id, id, VAULTRING_ID_SIZE))
			return &store->list[i];
	return NULL;
}

int store_read(struct store *store, const struct envelope *e, uint8_t **data,
	       size_t *len)
{
	return file_read(store->dir, e->file, VAULTRING_MAX_ENVELOPE, data, len);
}

int store_add(struct store *store, const char *name, uint32_t version,
	      const void *data, size_t len)
{
	char file[ENVELOPE_FILE_MAX];

	store->read_at = (struct timespec){ 0 };
	snprintf(file, sizeof(file), "%s@%u%s", name, version, SUFFIX);
	return file_write_atomic(store->dir, file, data, len, 0600, FILE_NEW);
}

int store_replace(struct store *store, const struct envelope *e,
		  const void *data, size_t len)
{
	store->read_at = (struct timespec){ 0 };
	return file_write_atomic(store->dir, e->file, data, len, 0600,
				 FILE_REPLACE);
}

const char *store_path(struct store *store)
{
	return store->path;
}

/* What a write that was cut short by a crash left behind. */
static void remove_temporary(struct store *store)
{
	struct dirent *entry;
	DIR *dir = opendir(store->path);

	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (entry->d_name[0] == '.' && len > 4 &&
		    !strcmp(entry->d_name + len - 4, ".tmp"))
			unlinkat(store->dir, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

int store_open(const char *state_folder, struct store **out)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	snprintf(store->path, sizeof(store->path), "%s/keks", state_folder);
	if (mkdir(store->path, 0700) && errno != EEXIST)
		goto err;
	store->dir = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir < 0)
		goto err;
	remove_temporary(store);
	refresh(store);
	*out = store;
	return 0;

err:
	err = -errno;
	log_err("%s: %s", store->path, strerror(-err));
	free(store);
	return err;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	close(store->dir);
	free(store->list);
	free(store);
}
