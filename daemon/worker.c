// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The worker process of one vault: its queue
 *
 * One timer per worker serves all its deadlines and is off when there is
 * nothing to wait for.  Everything that ends a job does so from the event loop:
 * worker_submit() only puts it into the queue and wakes worker_pump().
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "log.h"
#include "worker.h"
#include "worker_process.h"

#define MAX_JOBS	256
#define FIRST_PAUSE	(250 * 1000ULL)
#define LONGEST_PAUSE	(10 * 1000000ULL)

struct worker_job {
	struct worker_job *next;
	struct worker *worker;
	json_t *request;
	uint64_t deadline;	/* in the queue; in flight the worker's */
	enum worker_how how;
	worker_fn fn;		/* NULL: cancelled */
	void *arg;
};

struct worker {
	const struct vault_config *config;
	struct process *process;
	sd_event *event;
	sd_event_source *timer, *wake;

	struct worker_job *queue;	/* its head may be in flight */
	unsigned int n_jobs;
	bool configuring;
	json_int_t flight;		/* id of what was sent last; 0: nothing */
	json_int_t last_id;
	uint64_t sent_at, flight_deadline;

	unsigned int failures;
	uint64_t pause_end;

	enum worker_state state;
	bool told;			/* the journal knows that state */
	char message[512], last_error[512];
	uint64_t last_contact, latency, last_error_at;
};

static void worker_pump(struct worker *w);

static void wake(struct worker *w)
{
	sd_event_source_set_enabled(w->wake, SD_EVENT_ONESHOT);
}

static void rearm(struct worker *w)
{
	uint64_t at = UINT64_MAX;
	struct worker_job *job;

	if (w->flight)
		at = w->flight_deadline;
	else if (w->queue && w->pause_end > now_usec())
		at = w->pause_end;
	for (job = w->queue; job; job = job->next)
		if (!(w->flight && !w->configuring && job == w->queue) &&
		    job->deadline < at)
			at = job->deadline;
	if (at == UINT64_MAX) {
		sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(w->timer, at);
	sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

/* Said once, not each time; quiet: sync.c tells which key was refused. */
static void tell_state(struct worker *w, enum worker_state state,
		       const char *message, bool quiet)
{
	if (state == w->state)
		return;
	if (state == WORKER_AWAY || (state == WORKER_REFUSED && !quiet)) {
		log_warning("vault %s: %s: %s", w->config->name,
			    state == WORKER_AWAY ? "away" : "refused", message);
		w->told = true;
	} else if (w->told) {
		log_info("vault %s: back", w->config->name);
		w->told = false;
	}
}

static void set_state(struct worker *w, enum worker_state state,
		      const char *message, bool quiet)
{
	tell_state(w, state, message, quiet);
	w->state = state;
	if (state > WORKER_READY) {
		snprintf(w->last_error, sizeof(w->last_error), "%s", message);
		w->last_error_at = time(NULL);
	}
	snprintf(w->message, sizeof(w->message), "%s", message);
}

static void job_free(struct worker_job *job)
{
	json_decref(job->request);
	free(job);
}

/* Takes the first job out of the queue and tells whoever waits for it. */
static void finish_head(struct worker *w, const struct worker_reply *reply)
{
	struct worker_job *job = w->queue;

	w->queue = job->next;
	w->n_jobs--;
	if (job->fn)
		job->fn(job->arg, reply);
	job_free(job);
}

static void fail_all(struct worker *w, const struct worker_reply *why)
{
	struct worker_reply reply = *why;
	unsigned int n = w->n_jobs;
	char *copy = strdup(why->message);

	reply.message = copy ?: "out of memory";
	/* What is submitted meanwhile stays. */
	while (n-- && w->queue)
		finish_head(w, &reply);
	free(copy);
}

static void all_away(struct worker *w, const char *message)
{
	fail_all(w, &(struct worker_reply){ .err = -EAGAIN,
					    .message = message });
}

/* --- the process --- */

static void pause_longer(struct worker *w)
{
	uint64_t pause = FIRST_PAUSE << (w->failures < 8 ? w->failures : 8);
	uint32_t r = 0;

	if (pause > LONGEST_PAUSE)
		pause = LONGEST_PAUSE;
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)now_usec();
	/* Between half and all of it, so that hosts do not come in step. */
	pause -= pause / 2 * (r % 1024) / 1024;
	w->failures++;
	w->pause_end = now_usec() + pause;
}

static void on_died(void *arg, const char *how)
{
	struct worker *w = arg;
	bool busy = w->flight;

	w->flight = 0;
	w->configuring = false;
	if (busy) {
		pause_longer(w);
		set_state(w, WORKER_AWAY, how, false);
		all_away(w, how);
	} else {
		log_debug("vault %s: %s", w->config->name, how);
	}
	worker_pump(w);
}

static int send_request(struct worker *w, json_t *request)
{
	int err;

	w->flight = ++w->last_id;
	w->sent_at = now_usec();
	w->flight_deadline = w->sent_at + w->config->timeout_usec;
	json_object_set_new(request, "id", json_integer(w->flight));
	err = process_send(w->process, request);
	if (err) {
		/* Its end comes through on_died(). */
		log_warning("vault %s: cannot reach its worker: %s",
			    w->config->name, strerror(-err));
		process_end(w->process);
	}
	return err;
}

static json_t *configure_request(struct worker *w)
{
	json_t *settings = json_object();
	size_t i;

	for (i = 0; i < w->config->n_settings; i++)
		json_object_set_new(settings, w->config->settings[i].name,
				    json_string(w->config->settings[i].value));
	return json_pack("{s:s, s:o, s:I}", "op", "configure", "settings",
			 settings, "timeout-ms",
			 (json_int_t)(w->config->timeout_usec / 1000));
}

static int start(struct worker *w)
{
	json_t *request;
	int err = process_start(w->process);

	if (err) {
		snprintf(w->message, sizeof(w->message),
			 "cannot start %s: %s", process_program(w->process),
			 strerror(-err));
		return err;
	}
	request = configure_request(w);
	if (!request)
		return -ENOMEM;
	w->configuring = true;
	send_request(w, request);
	json_decref(request);
	return 0;
}

/* Keeps the process busy while there is work; the one place that starts it. */
static void worker_pump(struct worker *w)
{
	char text[sizeof(w->message)];

	while (w->queue && !w->queue->fn && !(w->flight && !w->configuring))
		finish_head(w, NULL);
	if (!w->queue || w->flight)
		goto out;
	switch (process_status(w->process)) {
	case PROCESS_RUNNING:
		send_request(w, w->queue->request);
		break;
	case PROCESS_NONE:
		if (w->pause_end > now_usec())
			break;
		if (start(w)) {
			pause_longer(w);
			memcpy(text, w->message, sizeof(text));
			set_state(w, WORKER_AWAY, text, false);
			all_away(w, text);
		}
		break;
	case PROCESS_DYING:
		break;
	}
out:
	rearm(w);
}

static int reply_error(const char *word)
{
	if (!strcmp(word, "refused"))
		return -ENOKEY;
	if (!strcmp(word, "invalid"))
		return -EKEYREJECTED;
	return -EAGAIN;
}

static void take_reply(struct worker *w, const json_t *body)
{
	const char *error = json_string_value(json_object_get(body, "error"));
	const char *message = json_string_value(json_object_get(body, "message"));
	struct worker_reply reply = {
		.message = message ?: "it does not say why",
		.latency_usec = now_usec() - w->sent_at,
	};

	if (error) {
		reply.err = reply_error(error);
		reply.here = reply.err == -ENOKEY && (w->configuring ||
			json_is_true(json_object_get(body, "here")));
		set_state(w, reply.err == -EAGAIN ? WORKER_AWAY : WORKER_REFUSED,
			  reply.message, reply.err == -ENOKEY && !reply.here &&
			  w->queue && w->queue->how != WORKER_IMPATIENT);
	} else {
		reply.body = body;
	}
	w->flight = 0;
	w->failures = 0;
	if (w->configuring) {
		w->configuring = false;
		if (error) {
			/* Settings are read anew by a new process. */
			process_end(w->process);
			fail_all(w, &reply);
		}
		return;
	}
	if (!error) {
		set_state(w, WORKER_READY, "", false);
		w->last_contact = time(NULL);
		w->latency = reply.latency_usec;
	}
	finish_head(w, &reply);
}

static void on_line(void *arg, const json_t *body)
{
	struct worker *w = arg;

	if (!w->flight ||
	    json_integer_value(json_object_get(body, "id")) != w->flight) {
		log_warning("vault %s: its worker answered what was not asked",
			    w->config->name);
		process_end(w->process);
		return;
	}
	take_reply(w, body);
	worker_pump(w);
}

static void expire_queued(struct worker *w)
{
	struct worker_job **p = &w->queue, *job;
	uint64_t now = now_usec();
	struct worker_reply reply = { .err = -EAGAIN, .message = w->message };

	/* The head in flight is the process's affair. */
	if (w->flight && !w->configuring)
		p = &w->queue->next;
	while ((job = *p)) {
		if (job->deadline > now) {
			p = &job->next;
			continue;
		}
		*p = job->next;
		w->n_jobs--;
		if (job->fn)
			job->fn(job->arg, &reply);
		job_free(job);
		/* fn may have changed the queue: from the start. */
		p = w->flight && !w->configuring ? &w->queue->next : &w->queue;
	}
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct worker *w = arg;
	char text[96];

	(void)source;
	(void)usec;
	if (w->flight && w->flight_deadline <= now_usec()) {
		snprintf(text, sizeof(text), "no answer within %.1f s",
			 w->config->timeout_usec / 1e6);
		w->flight = 0;
		w->configuring = false;
		process_end(w->process);
		pause_longer(w);
		set_state(w, WORKER_AWAY, text, false);
		/* The others wait for the same vault. */
		all_away(w, text);
	}
	expire_queued(w);
	worker_pump(w);
	return 0;
}

static int on_wake(sd_event_source *source, void *arg)
{
	(void)source;
	worker_pump(arg);
	return 0;
}

/* --- for others --- */

int worker_submit(struct worker *w, json_t *request, enum worker_how how,
		  worker_fn fn, void *arg, struct worker_job **out)
{
	struct worker_job *job, **p = &w->queue;

	job = request && w->n_jobs < MAX_JOBS ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		json_decref(request);
		return -EAGAIN;
	}
	*job = (struct worker_job){
		.worker = w, .request = request, .fn = fn, .arg = arg,
		.how = how,
		.deadline = now_usec() + w->config->timeout_usec +
			    LONGEST_PAUSE,
	};
	while (*p)
		p = &(*p)->next;
	*p = job;
	w->n_jobs++;
	if (how != WORKER_PATIENT)
		w->pause_end = 0;
	if (out)
		*out = job;
	wake(w);
	return 0;
}

/* Whatever of it is under way runs to its end; nobody hears of it. */
void worker_cancel(struct worker_job *job)
{
	if (!job)
		return;
	job->fn = NULL;
	wake(job->worker);
}

int worker_new(sd_event *event, const struct vault_config *config,
	       const char *folder, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->config = config;
	w->event = event;
	err = process_new(event, config, folder, on_line, on_died, w,
			  &w->process);
	if (err >= 0)
		err = sd_event_add_time(event, &w->timer, CLOCK_MONOTONIC, 0,
					10000, on_timer, w);
	if (err >= 0)
		err = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_add_defer(event, &w->wake, on_wake, w);
	if (err >= 0)
		err = sd_event_source_set_enabled(w->wake, SD_EVENT_OFF);
	if (err < 0) {
		worker_free(w);
		return err;
	}
	/* What is wrong with the settings shows in the journal right away. */
	if (start(w)) {
		pause_longer(w);
		log_err("vault %s: %s", config->name, w->message);
	}
	rearm(w);
	*out = w;
	return 0;
}

void worker_end(struct worker *w)
{
	if (w)
		process_end(w->process);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	/* Those who wait free what they hold. */
	while (w->queue)
		all_away(w, "vaultringd is stopping");
	process_free(w->process);
	sd_event_source_disable_unref(w->timer);
	sd_event_source_disable_unref(w->wake);
	free(w);
}

void worker_restart(struct worker *w)
{
	w->failures = 0;
	w->pause_end = 0;
	if (!w->flight)
		process_end(w->process);
}

const struct vault_config *worker_config(const struct worker *w)
{
	return w->config;
}

enum worker_state worker_state(const struct worker *w)
{
	return w->state;
}

const char *worker_message(const struct worker *w)
{
	return w->message;
}

uint64_t worker_last_contact(const struct worker *w)
{
	return w->last_contact;
}

uint64_t worker_latency_usec(const struct worker *w)
{
	return w->latency;
}

const char *worker_last_error(const struct worker *w, uint64_t *when)
{
	*when = w->last_error_at;
	return w->last_error_at ? w->last_error : NULL;
}
