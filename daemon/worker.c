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
#include <time.h>

#include "log.h"
#include "pace.h"
#include "worker_process.h"
#include "worker_queue.h"

#define MAX_JOBS	256
#define FIRST_PAUSE	(250 * 1000ULL)

struct worker {
	const struct vault_config *config;
	struct process *process;
	sd_event *event;
	sd_event_source *timer, *wake;

	struct worker_queue queue;
	bool configuring;
	bool stale;			/* ends with what is under way */
	json_int_t flight;		/* id of what was sent last; 0: nothing */
	json_int_t last_id;
	uint64_t sent_at, flight_deadline;

	unsigned int failures;
	uint64_t pause_end;
	struct pace pace;

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

/* Whether the process has the first of the queue. */
static bool in_flight(const struct worker *w)
{
	return w->flight && !w->configuring;
}

/* When the first of the queue may be sent; in the past, if it may. */
static uint64_t next_at(const struct worker *w)
{
	return w->queue.first->how == WORKER_IMPATIENT ? 0 :
	       pace_next(&w->pace, job_is_poll(w->queue.first));
}

static void rearm(struct worker *w)
{
	uint64_t at = UINT64_MAX, now = now_usec();
	struct worker_job *job;

	if (w->flight)
		at = w->flight_deadline;
	else if (w->queue.first && next_at(w) > now)
		at = next_at(w);
	else if (w->queue.first && w->pause_end > now)
		at = w->pause_end;
	for (job = w->queue.first; job; job = job->next)
		if (!(in_flight(w) && job == w->queue.first) &&
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

static void all_away(struct worker *w, const char *message)
{
	queue_end_all(&w->queue, &(struct worker_reply){ .err = -EAGAIN,
							 .message = message });
}

/*
 * What was under way came to nothing.  Those who have waited for all of it fail
 * with it; the others have not had their turn, nor has anybody with a poll's.
 */
static void flight_away(struct worker *w, bool configuring, const char *message)
{
	const struct worker_reply reply = { .err = -EAGAIN, .message = message };
	const struct worker_job *first = w->queue.first;
	bool alone = !configuring && first && job_is_poll(first);

	if (!configuring && first)
		queue_end_first(&w->queue, &reply);
	if (!alone)
		queue_end_waiting(&w->queue, false, w->sent_at, 0, &reply);
}

/* --- the process --- */

static void pause_longer(struct worker *w)
{
	uint64_t pause = FIRST_PAUSE << (w->failures < 8 ? w->failures : 8);

	if (pause > w->config->pause_usec)
		pause = w->config->pause_usec;
	/* Between half and all of it, so that hosts do not come in step. */
	pause -= part_of(pause / 2);
	w->failures++;
	w->pause_end = now_usec() + pause;
}

static void on_died(void *arg, const char *how)
{
	struct worker *w = arg;
	bool busy = w->flight, configuring = w->configuring;

	w->flight = 0;
	w->configuring = false;
	if (busy) {
		pause_longer(w);
		set_state(w, WORKER_AWAY, how, false);
		flight_away(w, configuring, how);
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
	return json_pack("{s:s, s:o, s:I, s:I, s:I}", "op", "configure",
			 "settings", settings, "timeout-ms",
			 (json_int_t)(w->config->timeout_usec / 1000),
			 "connect-timeout-ms",
			 (json_int_t)(w->config->connect_usec / 1000),
			 "end-timeout-ms",
			 (json_int_t)(w->config->end_usec / 1000));
}

static int start(struct worker *w)
{
	json_t *request;
	int err = process_start(w->process);

	w->stale = false;
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

/*
 * Whether there is nothing that may be sent.  What would have to wait for longer
 * than it can fails at once.
 */
static bool held_back(struct worker *w)
{
	const struct worker_reply reply = {
		.err = -EAGAIN, .message = "it is left alone for a while, as it has asked for or requests-per-minute says",
	};
	uint64_t at, now = now_usec();

	while (w->queue.first && (at = next_at(w)) > now) {
		if (at < w->queue.first->deadline)
			return true;
		queue_end_first(&w->queue, &reply);
	}
	return !w->queue.first;
}

/* Keeps the process busy while there is work; the one place that starts it. */
static void worker_pump(struct worker *w)
{
	char text[sizeof(w->message)];

	while (w->queue.first && !w->queue.first->fn && !in_flight(w))
		queue_end_first(&w->queue, NULL);
	if (w->flight || held_back(w))
		goto out;
	switch (process_status(w->process)) {
	case PROCESS_RUNNING:
		pace_count(&w->pace, now_usec());
		send_request(w, w->queue.first->request);
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

/* With up to a quarter more, so that hosts do not come in step. */
static void take_rest(struct worker *w, const json_t *body)
{
	json_int_t ms = json_integer_value(json_object_get(body,
							   "retry-after-ms"));
	uint64_t usec = ms > 0 && ms < INT32_MAX ? ms * 1000ULL : 0;

	if (usec)
		pace_rest(&w->pace, now_usec(), usec + part_of(usec / 4),
			  w->config->pause_usec);
}

/* What the journal and the list of vaults say of it. */
static void note_failure(struct worker *w, const struct worker_reply *reply)
{
	const struct worker_job *job = w->queue.first;
	bool word = reply->err == -ENOKEY && !reply->here && job;

	if (word && job->how == WORKER_ASIDE)
		return;
	set_state(w, reply->err == -EAGAIN ? WORKER_AWAY : WORKER_REFUSED,
		  reply->message, word && job->how != WORKER_IMPATIENT);
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
		note_failure(w, &reply);
		if (reply.err == -EAGAIN)
			take_rest(w, body);
	} else {
		reply.body = body;
	}
	w->flight = 0;
	w->failures = 0;
	/* Settings are read anew by a new process. */
	if (w->stale || (w->configuring && error))
		process_end(w->process);
	if (w->configuring) {
		w->configuring = false;
		if (error)
			queue_end_all(&w->queue, &reply);
		return;
	}
	if (!error) {
		pace_rested(&w->pace);
		set_state(w, WORKER_READY, "", false);
		w->last_contact = time(NULL);
		w->latency = reply.latency_usec;
	}
	queue_end_first(&w->queue, &reply);
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

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct worker *w = arg;
	bool configuring = w->configuring;
	struct worker_reply late = { .err = -EAGAIN, .message = w->message };
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
		flight_away(w, configuring, text);
	}
	if (!*w->message)
		late.message = "its turn did not come in time";
	queue_end_waiting(&w->queue, in_flight(w), 0, now_usec(), &late);
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
	struct worker_job *job;

	job = request && w->queue.n < MAX_JOBS ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		json_decref(request);
		return -EAGAIN;
	}
	*job = (struct worker_job){
		.worker = w, .request = request, .fn = fn, .arg = arg,
		.how = how, .since = now_usec(),
	};
	job->deadline = job->since + w->config->timeout_usec +
			w->config->pause_usec;
	queue_put(&w->queue, job, in_flight(w));
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
	pace_init(&w->pace, config->limit);
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
	while (w->queue.first)
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
	w->stale = w->flight;
	if (!w->stale)
		process_end(w->process);
}

uint64_t worker_poll_at(const struct worker *w)
{
	return pace_next(&w->pace, true);
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
