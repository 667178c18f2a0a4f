/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TAP from a test module, read from /sys/kernel/debug/NAME/tap
 *
 * The kernel's log would lose lines; this keeps them all until tap_close().
 * Read by tests/transforms_test.sh, which wants the plan at the end: a module
 * that did not come to tap_plan() has failed.
 */
#ifndef _VAULTRING_TESTS_TAP_H
#define _VAULTRING_TESTS_TAP_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#define TAP_LINE_MAX	256

/* @lock protects everything but @dir, into which a module may put more. */
struct tap {
	struct mutex lock;	/* see above */
	char *text;
	size_t len, size;
	unsigned int cases, failed;
	bool lost;		/* no memory for a line: no plan either */
	struct dentry *dir;
};

static inline ssize_t tap_read(struct file *file, char __user *to, size_t count,
			       loff_t *pos)
{
	struct tap *tap = file->private_data;
	ssize_t n;

	mutex_lock(&tap->lock);
	n = simple_read_from_buffer(to, count, pos, tap->text, tap->len);
	mutex_unlock(&tap->lock);
	return n;
}

static const struct file_operations tap_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.read	= tap_read,
	.llseek	= default_llseek,
};

/* tap->lock is held. */
static inline bool tap_room(struct tap *tap)
{
	char *text;

	if (tap->size - tap->len >= TAP_LINE_MAX)
		return true;
	text = kvzalloc(2 * tap->size + 16 * TAP_LINE_MAX, GFP_KERNEL);
	if (!text) {
		tap->lost = true;
		return false;
	}
	if (tap->text)
		memcpy(text, tap->text, tap->len);
	kvfree(tap->text);
	tap->text = text;
	tap->size = 2 * tap->size + 16 * TAP_LINE_MAX;
	return true;
}

/* One line: @head, what @format says (cut where it is too long), "\n". */
static inline __printf(3, 0)
void tap_line(struct tap *tap, const char *head, const char *format,
	      va_list args)
{
	size_t room = TAP_LINE_MAX - 1;
	char *at;

	if (!tap_room(tap))
		return;
	at = tap->text + tap->len;
	at += scnprintf(at, room, "%s", head);
	at += vscnprintf(at, room - (at - tap->text - tap->len), format, args);
	*at++ = '\n';
	tap->len = at - tap->text;
}

/* A line of explanation; belongs to the case that follows. */
static inline __printf(2, 3) void tap_note(struct tap *tap,
					   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	mutex_lock(&tap->lock);
	tap_line(tap, "# ", format, args);
	mutex_unlock(&tap->lock);
	va_end(args);
}

/* One case; @format is the sentence that holds or does not. */
static inline __printf(3, 4) bool tap_ok(struct tap *tap, bool truth,
					 const char *format, ...)
{
	va_list args;
	char head[32];

	va_start(args, format);
	mutex_lock(&tap->lock);
	tap->cases++;
	tap->failed += !truth;
	snprintf(head, sizeof(head), "%sok %u - ", truth ? "" : "not ",
		 tap->cases);
	tap_line(tap, head, format, args);
	mutex_unlock(&tap->lock);
	va_end(args);
	return truth;
}

static inline void __printf(2, 3) tap_text(struct tap *tap,
					   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	mutex_lock(&tap->lock);
	tap_line(tap, "", format, args);
	mutex_unlock(&tap->lock);
	va_end(args);
}

/* Nothing more comes. */
static inline void tap_plan(struct tap *tap)
{
	if (!tap->lost)
		tap_text(tap, "1..%u", tap->cases);
}

static inline int tap_open(struct tap *tap, const char *name)
{
	mutex_init(&tap->lock);
	tap->dir = debugfs_create_dir(name, NULL);
	if (IS_ERR(tap->dir))
		return PTR_ERR(tap->dir);
	debugfs_create_file("tap", 0400, tap->dir, tap, &tap_fops);
	return 0;
}

static inline void tap_close(struct tap *tap)
{
	debugfs_remove(tap->dir);
	kvfree(tap->text);
}

#endif /* _VAULTRING_TESTS_TAP_H */
