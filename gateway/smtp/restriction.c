#include "gateway/smtp/restriction.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/smtp/restriction_impl.h"

#define CACHE_MAX 512

struct restriction_list {
    RB_ENTRY(restriction_list) link;
    unsigned refs;
    enum restriction_stage stage;
    char *text;  /* as it was given: the key */
    char *words; /* what the items' arguments point into */
    struct restriction_item *items;
    size_t count;
};

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_CLIENT] = "smtpd_client_restrictions",
    [STAGE_HELO] = "smtpd_helo_restrictions",
    [STAGE_SENDER] = "smtpd_sender_restrictions",
    [STAGE_RELAY] = "smtpd_relay_restrictions",
    [STAGE_RECIPIENT] = "smtpd_recipient_restrictions",
    [STAGE_DATA] = "smtpd_data_restrictions",
    [STAGE_END_OF_DATA] = "smtpd_end_of_data_restrictions",
    [STAGE_ETRN] = "smtpd_etrn_restrictions",
};

const char *restriction_stage_name(enum restriction_stage stage)
{
    return stage_names[stage];
}

/* ---- lists ---- */

#define SEPARATORS ", \t\r\n"

/* The next word, ended by a NUL of its own; NULL at the end. */
static char *next_word(char **cursor, size_t *len)
{
    char *p = *cursor + strspn(*cursor, SEPARATORS);

    *len = strcspn(p, SEPARATORS);
    if (*len == 0)
        return NULL;
    *cursor = p + *len + (p[*len] != '\0');
    p[*len] = '\0';
    return p;
}

/*
 * What a word that is no restriction stands for: a class, or NULL with an error. What follows a
 * class that is most like a restriction is probably its argument.
 */
static const struct restriction *class_of(const struct restriction_list *list, const char *word,
                                          size_t len, char **error)
{
    const struct restriction_item *before = list->count > 0 ? &list->items[list->count - 1] : NULL;
    static const char mark[] = "ldap:";
    size_t skip = str_istarts(word, mark) ? strlen(mark) : 0;

    if (restriction_class_name(word + skip, len - skip))
        return skip > 0 ? &restriction_ldap_class : &restriction_class;
    if (before != NULL && before->def == &restriction_class &&
        restriction_nearest(before->arg) != NULL)
        word = before->arg;
    const char *nearest = restriction_nearest(word);
    *error = nearest == NULL
                 ? mem_printf("unknown restriction \"%.64s\"; dirigo-smtpd(8) names them", word)
                 : mem_printf("unknown restriction \"%.64s\"; did you mean %s?", word, nearest);
    return NULL;
}

static int compile_words(struct restriction_list *list, char **error)
{
    char *cursor = list->words, *word;
    size_t len;
    bool warn = false;

    while ((word = next_word(&cursor, &len)) != NULL) {
        const struct restriction *def = restriction_find(word, len);
        bool is_class = def == NULL;
        if (is_class && (def = class_of(list, word, len, error)) == NULL)
            return -1;
        if (def->flags & RESTRICTION_PREFIX) {
            warn = true;
            continue;
        }
        if (list->count == RESTRICTION_ITEMS_MAX) {
            *error = mem_printf("more than %d restrictions", RESTRICTION_ITEMS_MAX);
            return -1;
        }
        if (list->stage >= STAGE_DATA && (def->flags & RESTRICTION_AT_RCPT)) {
            *error = mem_printf("%s needs a recipient and cannot stand in %s", def->name,
                                stage_names[list->stage]);
            return -1;
        }
        struct restriction_item *item = &list->items[list->count++];
        *item = (struct restriction_item){.def = def, .warn = warn};
        warn = false;
        if (is_class)
            item->arg = def == &restriction_ldap_class ? strchr(word, ':') + 1 : word;
        else if ((def->flags & RESTRICTION_ARG) && (item->arg = next_word(&cursor, &len)) == NULL) {
            *error = mem_printf("%s needs an argument", def->name);
            return -1;
        }
        if (item->arg != NULL && def->valid != NULL && !def->valid(item->arg)) {
            *error = mem_printf("%s: \"%.64s\" is no argument for it", def->name, item->arg);
            return -1;
        }
    }
    for (size_t i = list->count; i-- > 0;) {
        struct restriction_item *item = &list->items[i];
        if ((item->def->flags & RESTRICTION_WEIGHT) && strchr(item->arg, '*') != NULL) {
            item->last_weight = true;
            break;
        }
    }
    if (warn) {
        *error = mem_strdup("warn_if_reject stands before no restriction; put one behind it");
        return -1;
    }
    return 0;
}

struct restriction_list *restriction_compile(const char *text, enum restriction_stage stage,
                                             char **error)
{
    struct restriction_list *list;

    if (strlen(text) > RESTRICTION_TEXT_MAX) {
        *error = mem_strdup("the list is too long");
        return NULL;
    }
    list = mem_zalloc(sizeof(*list));
    list->refs = 1;
    list->stage = stage;
    list->text = mem_strdup(text);
    list->words = mem_strdup(text);
    list->items = mem_alloc(RESTRICTION_ITEMS_MAX * sizeof(*list->items));
    if (compile_words(list, error) != 0)
        restriction_list_unref(&list);
    else
        list->items = mem_realloc(list->items, list->count + 1, sizeof(*list->items));
    return list;
}

struct restriction_list *restriction_list_ref(struct restriction_list *list)
{
    list->refs++;
    return list;
}

void restriction_list_unref(struct restriction_list **list)
{
    struct restriction_list *l = *list;

    *list = NULL;
    if (l == NULL || --l->refs > 0)
        return;
    free(l->text);
    free(l->words);
    free(l->items);
    free(l);
}

size_t restriction_list_len(const struct restriction_list *list)
{
    return list->count;
}

const char *restriction_list_class(const struct restriction_list *list, size_t *from,
                                   bool *directory)
{
    while (*from < list->count) {
        const struct restriction_item *item = &list->items[(*from)++];
        *directory = item->def == &restriction_ldap_class;
        if (*directory || item->def == &restriction_class)
            return item->arg;
    }
    return NULL;
}

static int list_cmp(const struct restriction_list *a, const struct restriction_list *b)
{
    if (a->stage != b->stage)
        return a->stage < b->stage ? -1 : 1;
    return strcmp(a->text, b->text);
}

RB_HEAD(list_tree, restriction_list);
RB_GENERATE_INTERNAL(list_tree, restriction_list, link, list_cmp, static __attribute__((unused)));

struct restriction_cache {
    struct list_tree tree;
    size_t count;
};

struct restriction_cache *restriction_cache_new(void)
{
    struct restriction_cache *cache = mem_zalloc(sizeof(*cache));

    RB_INIT(&cache->tree);
    return cache;
}

static void cache_clear(struct restriction_cache *cache)
{
    struct restriction_list *l;

    while ((l = RB_ROOT(&cache->tree)) != NULL) {
        RB_REMOVE(list_tree, &cache->tree, l);
        restriction_list_unref(&l);
    }
    cache->count = 0;
}

void restriction_cache_free(struct restriction_cache **cache)
{
    if (*cache == NULL)
        return;
    cache_clear(*cache);
    free(*cache);
    *cache = NULL;
}

struct restriction_list *restriction_cache_get(struct restriction_cache *cache, const char *text,
                                               enum restriction_stage stage, char **error)
{
    struct restriction_list key = {.stage = stage, .text = (char *)(uintptr_t)text};
    struct restriction_list *l = RB_FIND(list_tree, &cache->tree, &key);

    if (l == NULL) {
        l = restriction_compile(text, stage, error);
        if (l == NULL)
            return NULL;
        /* Texts that nobody uses any more pile up as policies change; starting over is cheap. */
        if (cache->count == CACHE_MAX)
            cache_clear(cache);
        RB_INSERT(list_tree, &cache->tree, l);
        cache->count++;
    }
    return restriction_list_ref(l);
}

/* ---- refusals ---- */

enum restriction_stage restriction_run_stage(const struct restriction_run *run)
{
    return run->steps[run->step].stage;
}

const char *restriction_run_dn(const struct restriction_run *run)
{
    return run->depth > 0 ? run->frames[run->depth - 1].dn : NULL;
}

static enum verdict set_result(struct restriction_run *run, unsigned code, const char *status)
{
    struct restriction_result *r = &run->result;

    r->code = code;
    snprintf(r->status, sizeof(r->status), "%c%s", code < 500 ? '4' : '5', status + 1);
    return code < 500 ? VERDICT_DEFER : VERDICT_REJECT;
}

enum verdict restriction_say(struct restriction_run *run, unsigned code, const char *status,
                             const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(run->result.text, sizeof(run->result.text), fmt, ap);
    va_end(ap);
    return set_result(run, code, status);
}

static enum restriction_subject stage_subject(enum restriction_stage stage)
{
    switch (stage) {
    case STAGE_CLIENT:
        return SUBJECT_CLIENT;
    case STAGE_HELO:
        return SUBJECT_HELO;
    case STAGE_SENDER:
        return SUBJECT_SENDER;
    case STAGE_DATA:
    case STAGE_END_OF_DATA:
    case STAGE_ETRN:
        return SUBJECT_STAGE;
    default:
        return SUBJECT_RECIPIENT;
    }
}

enum verdict restriction_refuse(struct restriction_run *run, enum restriction_subject subject,
                                unsigned code, const char *status, const char *text)
{
    const struct restriction_facts *f = run->facts;
    char client[RESTRICTION_CLIENT_STRLEN];

    if (subject == SUBJECT_STAGE)
        subject = stage_subject(restriction_run_stage(run));
    switch (subject) {
    case SUBJECT_CLIENT:
        return restriction_say(run, code, status, "%s: Client host rejected: %s",
                               restriction_client_str(f, client), text);
    case SUBJECT_HELO:
        return restriction_say(run, code, status, "<%.200s>: Helo command rejected: %s",
                               f->helo != NULL ? f->helo : "", text);
    case SUBJECT_SENDER:
        return restriction_say(run, code, status, "<%.300s>: Sender address rejected: %s",
                               f->sender.given != NULL ? f->sender.given->text : "", text);
    case SUBJECT_RECIPIENT:
        return restriction_say(run, code, status, "<%.300s>: Recipient address rejected: %s",
                               f->recipient.given != NULL ? f->recipient.given->text : "", text);
    default:
        if (restriction_run_stage(run) == STAGE_ETRN)
            return restriction_say(run, code, status, "<%.200s>: Etrn command rejected: %s",
                                   f->etrn, text);
        return restriction_say(
            run, code, status, "%s rejected: %s",
            restriction_run_stage(run) == STAGE_DATA ? "Data command" : "End-of-data", text);
    }
}

/* ---- a run ---- */

void restriction_run_init(struct restriction_run *run, const struct conf *conf,
                          const struct restriction_facts *facts, const struct restriction_ops *ops,
                          void *ops_arg)
{
    memset(run, 0, sizeof(*run));
    run->conf = conf;
    run->facts = facts;
    run->ops = ops;
    run->ops_arg = ops_arg;
}

void restriction_run_add(struct restriction_run *run, enum restriction_stage stage,
                         struct restriction_list *list, const char *dn)
{
    if (run->step_count == STAGE_COUNT || list->count == 0) {
        restriction_list_unref(&list);
        return;
    }
    run->steps[run->step_count++] =
        (struct restriction_step){.stage = stage, .list = list, .dn = dn};
}

static void pop(struct restriction_run *run)
{
    restriction_list_unref(&run->frames[--run->depth].list);
}

void restriction_run_end(struct restriction_run *run)
{
    while (run->depth > 0)
        pop(run);
    restriction_list_unref(&run->nested);
    while (run->effect_count > 0)
        free(run->effects[--run->effect_count].text);
    for (size_t i = 0; i < run->step_count; i++)
        restriction_list_unref(&run->steps[i].list);
    run->step_count = 0;
}

static void log_warned(const struct restriction_run *run)
{
    log_info("restriction would refuse", LOG_STR("id", run->facts->id),
             LOG_STR("restriction", run->result.restriction),
             LOG_STR("policy", run->result.dn != NULL ? run->result.dn : "dirigo.conf"),
             LOG_UINT("code", run->result.code), LOG_STR("reply", run->result.text));
}

static void trace(const struct restriction_run *run, const struct restriction_item *item,
                  const char *dn, bool warn, enum verdict v)
{
    struct restriction_trace t = {.stage = restriction_run_stage(run),
                                  .restriction = item->def->name,
                                  .arg = item->arg,
                                  .dn = dn,
                                  .verdict = v,
                                  .warned = warn && v != VERDICT_DUNNO && v != VERDICT_PERMIT &&
                                            v != VERDICT_NEST};

    if (run->trace != NULL && v != VERDICT_WAIT)
        run->trace(run->trace_arg, &t);
}

/* ---- what access entries and classes lead to ---- */

enum verdict restriction_misconfigured(struct restriction_run *run, const char *error,
                                       const char *what)
{
    const struct restriction_step *step = &run->steps[run->step];
    const char *dn = run->decided_by != NULL ? run->decided_by : step->dn;

    log_error("restriction list is wrong", LOG_STR("policy", dn != NULL ? dn : "dirigo.conf"),
              LOG_STR("list", stage_names[step->stage]), LOG_STR("error", error),
              LOG_STR("what", what));
    return restriction_say(run, 451, "4.3.5", "Server configuration error");
}

enum verdict restriction_nest(struct restriction_run *run, const char *text, const char *dn)
{
    enum restriction_stage stage = restriction_run_stage(run);
    char *error = NULL;

    run->decided_by = dn;
    if (run->depth == RESTRICTION_DEPTH_MAX)
        return restriction_misconfigured(run, "classes are nested too deeply", text);
    run->nested = run->lists != NULL ? restriction_cache_get(run->lists, text, stage, &error)
                                     : restriction_compile(text, stage, &error);
    if (run->nested != NULL)
        return VERDICT_NEST;
    enum verdict v = restriction_misconfigured(run, error, text);
    free(error);
    return v;
}

enum verdict restriction_effect(struct restriction_run *run, enum effect_kind kind,
                                const char *text)
{
    if (run->effect_count == RESTRICTION_EFFECTS_MAX)
        return restriction_misconfigured(run, "too many actions for one message", text);
    run->effects[run->effect_count++] =
        (struct restriction_effect){.kind = kind, .text = mem_strdup(text)};
    return VERDICT_DUNNO;
}

/* The list takes the place of the item that led to it. The reference is taken over. */
static void push(struct restriction_run *run, struct restriction_list *list, const char *dn,
                 bool warn)
{
    run->frames[run->depth++] = (struct restriction_frame){.list = list, .dn = dn, .warn = warn};
}

/* ---- the evaluation ---- */

/* One restriction; what warn_if_reject and defer_if_permit make of its verdict. */
static enum verdict check_item(struct restriction_run *run, const struct restriction_item *item,
                               const struct restriction_frame *f)
{
    run->decided_by = NULL;
    enum verdict v = ++run->work > RESTRICTION_WORK_MAX
                         ? restriction_misconfigured(run, "too many restrictions", item->def->name)
                         : item->def->check(run, item);

    trace(run, item, run->decided_by != NULL ? run->decided_by : f->dn, item->warn || f->warn, v);
    if (v == VERDICT_DUNNO || v == VERDICT_WAIT || v == VERDICT_NEST)
        return v;
    run->result.restriction = item->def->name;
    run->result.dn = run->decided_by != NULL ? run->decided_by : f->dn;
    if (v == VERDICT_PERMIT)
        return v;
    if (item->warn || f->warn) {
        log_warned(run);
        return VERDICT_DUNNO;
    }
    if (v == VERDICT_DEFER_IF_PERMIT) {
        if (!run->deferring)
            run->deferred = run->result;
        run->deferring = true;
        return VERDICT_DUNNO;
    }
    if (v == VERDICT_DEFER_IF_REJECT) {
        if (!run->deferring_rejects)
            run->deferred_reject = run->result;
        run->deferring_rejects = true;
        return VERDICT_DUNNO;
    }
    return v;
}

/* The final verdict, a refusal. */
static void refuse_now(struct restriction_run *run, enum verdict v)
{
    if (v == VERDICT_REJECT && run->deferring_rejects) {
        run->result = run->deferred_reject;
        v = VERDICT_DEFER;
    }
    run->result.verdict = v;
}

/* The list of the step at hand, with what it leads to: WAIT, PERMIT, a refusal, or DUNNO. */
static enum verdict check_step(struct restriction_run *run)
{
    while (run->depth > 0) {
        struct restriction_frame *f = &run->frames[run->depth - 1];
        if (f->item == f->list->count) {
            pop(run);
            continue;
        }
        const struct restriction_item *item = &f->list->items[f->item];
        enum verdict v = check_item(run, item, f);
        if (v == VERDICT_WAIT)
            return v;
        f->item++;
        if (v == VERDICT_NEST) {
            push(run, run->nested, run->decided_by, f->warn || item->warn);
            run->nested = NULL;
        } else if (v != VERDICT_DUNNO) {
            return v;
        }
    }
    return VERDICT_DUNNO;
}

bool restriction_run_go(struct restriction_run *run)
{
    for (; run->step < run->step_count; run->step++) {
        struct restriction_step *step = &run->steps[run->step];
        if (run->depth == 0)
            push(run, restriction_list_ref(step->list), step->dn, false);
        enum verdict v = check_step(run);
        if (v == VERDICT_WAIT)
            return false;
        while (run->depth > 0)
            pop(run);
        if (v == VERDICT_PERMIT && step->stage == STAGE_RELAY)
            run->relay_permitted = true;
        if (v == VERDICT_REJECT || v == VERDICT_DEFER) {
            refuse_now(run, v);
            return true;
        }
    }
    if (run->deferring) {
        run->result = run->deferred;
        run->result.verdict = VERDICT_DEFER;
    } else {
        run->result.verdict = VERDICT_DUNNO;
    }
    return true;
}
