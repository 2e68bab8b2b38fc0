/* Statements of a profile: dirigo-profiles(5) is their description. */
#include <stdlib.h>
#include <string.h>

#include "directory/profile_private.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *word;
    unsigned classes;
} class_words[] = {
    {"user", CLASS_PERSON},
    {"recipient", CLASS_RECIPIENT},
    {"group", CLASS_GROUP},
    {"domain", CLASS_DOMAIN},
    {"policy", CLASS_POLICY},
    {"alias", CLASS_ALIAS},
    {"cn-alias", CLASS_ALIAS | CLASS_CN_ALIAS},
    {"access", CLASS_ACCESS},
    {"partner", CLASS_PARTNER},
    {"restrictions", CLASS_RESTRICTIONS},
    {"config", CLASS_CONFIG},
    {"appPassword", CLASS_APP_PASSWORD},
    {"container", CLASS_CONTAINER},
    {"nothing", CLASS_NOTHING},
};

unsigned profile_class_word(const char *word)
{
    for (size_t i = 0; i < COUNT(class_words); i++)
        if (strcmp(class_words[i].word, word) == 0)
            return class_words[i].classes;
    return 0;
}

/* Names that are no attribute of the replica, or that are taken in a way of their own. */
static const struct {
    const char *name;
    enum entry_attr attr;
    enum profile_take take;
} logical_names[] = {
    {"mail", ATTR_MAIL, TAKE_ADDRESS},
    {"mailAlternateAddress", ATTR_MAIL_ALTERNATE, TAKE_ADDRESS},
    {"uid", ATTR_UID, TAKE_NAME},
    {"cn", ATTR_CN, TAKE_CN},
    {"mailRoutingAddress", ATTR_ROUTING_ADDRESS, TAKE_ROUTE},
    {"mailForwardingAddress", ATTR_ROUTING_ADDRESS, TAKE_FORWARD},
    {"deliveryMode", ATTR_DELIVERY_MODE, TAKE_MODE},
    {"accountStatus", ATTR_ACCOUNT_STATUS, TAKE_STATUS},
    {"quota", ATTR_QUOTA, TAKE_QUOTA},
    {"globalPolicy", ATTR_COUNT, TAKE_GLOBAL},
    {"authPassword", ATTR_COUNT, TAKE_SECRET},
    {"clearPassword", ATTR_COUNT, TAKE_CLEAR},
    {"totpSecret", ATTR_COUNT, TAKE_TOTP},
    {"oneTimeToken", ATTR_COUNT, TAKE_ONE_TIME},
    {"certificate", ATTR_CERTIFICATE, TAKE_CERTIFICATE},
    {"nothing", ATTR_COUNT, TAKE_NOTHING},
};

int profile_logical(const char *name, size_t len, enum entry_attr *attr, enum profile_take *take)
{
    for (size_t i = 0; i < COUNT(logical_names); i++) {
        if (str_is(name, len, logical_names[i].name)) {
            *attr = logical_names[i].attr;
            *take = logical_names[i].take;
            return 0;
        }
    }
    *take = TAKE_VALUE;
    for (*attr = 0; *attr < ATTR_COUNT; ++*attr)
        if (str_is(name, len, entry_attr_name(*attr)))
            return 0;
    return -1;
}

/* A name of an attribute or a class, or an OID (RFC 4512, 1.4): it is sent to servers. */
static bool is_descriptor(const char *s)
{
    return *s != '\0' && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-._") == strlen(s);
}

/* ---- options of an attribute ---- */

static const char *const status_words[] = {"active", "noaccess", "disabled", NULL};
static const char *const mode_words[] = {"keep", "nolocal", NULL};

static const char *meaning_of(const struct profile_row *row, const char *word)
{
    const char *const *words = row->take == TAKE_STATUS ? status_words : mode_words;
    for (; *words != NULL; words++)
        if (strcmp(*words, word) == 0)
            return *words;
    return NULL;
}

static int fault_of(struct buf *fault, const char *word, const char *what)
{
    buf_printf(fault, "\"%s\" %s", word, what);
    return -1;
}

static int add_meaning(struct profile_row *row, enum profile_test test, const char *value,
                       const char *word, struct buf *fault)
{
    struct profile_meaning m = {.test = test, .meaning = NULL};
    if (row->take != TAKE_STATUS && (row->take != TAKE_MODE || test != TEST_WORD))
        return fault_of(fault, value,
                        "cannot stand here; only accountStatus takes bit, letter and lacks, and "
                        "only accountStatus and deliveryMode take word");
    if ((m.meaning = meaning_of(row, word)) == NULL)
        return fault_of(fault, word,
                        row->take == TAKE_STATUS
                            ? "is no status; choose from: active noaccess disabled"
                            : "is no delivery mode; choose from: keep nolocal");
    if (test == TEST_BIT && (str_uint(value, strlen(value), UINT32_MAX, &m.bit) < 0 || m.bit == 0))
        return fault_of(fault, value, "is no number of a bit; write its value, such as 2");
    if (test == TEST_LETTER && value[1] != '\0')
        return fault_of(fault, value, "is more than a letter; write one");
    m.text = mem_strdup(value);
    row->meanings = mem_realloc(row->meanings, row->meaning_count + 1, sizeof *row->meanings);
    row->meanings[row->meaning_count++] = m;
    return 0;
}

static int set_unit(struct profile_row *row, const char *text, struct buf *fault)
{
    static const char letters[] = "kMGT";
    size_t len = strlen(text);
    const char *letter = len > 1 ? strchr(letters, text[len - 1]) : NULL;
    unsigned shift = letter == NULL ? 0 : 10 * (unsigned)(letter - letters + 1);
    if (row->take != TAKE_QUOTA ||
        str_uint(text, len - (letter != NULL), (uint64_t)1 << 20, &row->unit) < 0 || row->unit == 0)
        return fault_of(fault, text, "is no unit; give a quota one such as 1, 1k or 1M");
    row->unit <<= shift;
    return 0;
}

/* Reads one option; the number of words that it took, or -1. */
static int read_option(struct profile_row *row, const struct profile_statement *st, size_t i,
                       struct buf *fault)
{
    static const struct {
        const char *word;
        enum profile_test test;
    } tests[] = {
        {"word", TEST_WORD}, {"bit", TEST_BIT}, {"letter", TEST_LETTER}, {"lacks", TEST_LACKS}};
    const char *word = st->words[i];
    const char *first = i + 1 < st->count ? st->words[i + 1] : NULL;
    const char *second = i + 2 < st->count ? st->words[i + 2] : NULL;
    for (size_t k = 0; k < COUNT(tests); k++) {
        if (strcmp(word, tests[k].word) != 0)
            continue;
        if (second == NULL)
            return fault_of(fault, word, "ends too early; write a value and what it means");
        return add_meaning(row, tests[k].test, first, second, fault) < 0 ? -1 : 3;
    }
    if (first != NULL && strcmp(word, "prefix") == 0 && row->prefix == NULL) {
        row->prefix = mem_strdup(first);
        return 2;
    }
    if (first != NULL && strcmp(word, "class") == 0 && row->object_class == NULL) {
        if (!is_descriptor(first))
            return fault_of(fault, first, "is no name of an object class");
        row->object_class = mem_strdup(first);
        return 2;
    }
    if (first != NULL && strcmp(word, "unit") == 0)
        return set_unit(row, first, fault) < 0 ? -1 : 2;
    return fault_of(fault, word,
                    "is no option, or one without its value; choose from: prefix class unit word "
                    "bit letter lacks");
}

static void free_row(struct profile_row *row)
{
    for (size_t i = 0; i < row->meaning_count; i++)
        free(row->meanings[i].text);
    free(row->meanings);
    free(row->name);
    free(row->prefix);
    free(row->object_class);
}

/* ---- statements ---- */

static int rule_attribute(struct profile *p, const struct profile_statement *st, struct buf *fault)
{
    struct profile_row row = {.unit = 1};
    if (st->count < 3 || !is_descriptor(st->words[1]) || str_ieq(st->words[1], "objectClass"))
        return fault_of(fault, st->count > 1 ? st->words[1] : st->words[0],
                        "is no mapping; write: attribute NAME LOGICAL-NAME, then options");
    if (profile_logical(st->words[2], strlen(st->words[2]), &row.attr, &row.take) < 0)
        return fault_of(fault, st->words[2],
                        "is no logical attribute; dirigo-profiles(5) lists them");
    for (size_t i = 3; i < st->count;) {
        int n = read_option(&row, st, i, fault);
        if (n < 0) {
            free_row(&row);
            return -1;
        }
        i += (size_t)n;
    }
    row.name = mem_strdup(st->words[1]);
    p->rows = mem_realloc(p->rows, p->row_count + 1, sizeof *p->rows);
    p->rows[p->row_count++] = row;
    return 0;
}

static int rule_class(struct profile *p, const struct profile_statement *st, struct buf *fault)
{
    struct profile_class class = {.classes = 0};
    if (st->count < 3 || !is_descriptor(st->words[1]))
        return fault_of(fault, st->count > 1 ? st->words[1] : st->words[0],
                        "is no mapping; write: class NAME KIND ...");
    for (size_t i = 2; i < st->count; i++) {
        unsigned classes = profile_class_word(st->words[i]);
        if (classes == 0)
            return fault_of(fault, st->words[i],
                            "is no kind; choose from: user recipient alias cn-alias group domain "
                            "policy access partner restrictions config container nothing");
        class.classes |= classes;
    }
    class.name = mem_strdup(st->words[1]);
    p->classes = mem_realloc(p->classes, p->class_count + 1, sizeof *p->classes);
    p->classes[p->class_count++] = class;
    return 0;
}

static int rule_detect(struct profile *p, const struct profile_statement *st, struct buf *fault)
{
    static const char *const facts[FACT_COUNT] = {"class", "attribute", "capability"};
    unsigned statement =
        p->condition_count == 0 ? 0 : p->conditions[p->condition_count - 1].statement + 1;
    if (st->count < 3 || st->count % 2 == 0)
        return fault_of(fault, st->words[0],
                        "needs pairs; write: detect class NAME, attribute NAME or capability OID");
    for (size_t i = 1; i < st->count; i += 2) {
        struct profile_condition c = {.statement = statement, .fact = FACT_COUNT};
        for (enum profile_fact f = 0; f < FACT_COUNT; f++)
            if (strcmp(st->words[i], facts[f]) == 0)
                c.fact = f;
        if (c.fact == FACT_COUNT || !is_descriptor(st->words[i + 1]))
            return fault_of(fault, st->words[i],
                            "cannot be detected; choose from: class attribute capability, each "
                            "with a name or an OID");
        c.name = mem_strdup(st->words[i + 1]);
        p->conditions = mem_realloc(p->conditions, p->condition_count + 1, sizeof c);
        p->conditions[p->condition_count++] = c;
    }
    return 0;
}

static int rule_rank(struct profile *p, const struct profile_statement *st, struct buf *fault)
{
    uint64_t rank;
    if (st->count != 2 || str_uint(st->words[1], strlen(st->words[1]), 1000, &rank) < 0)
        return fault_of(fault, st->words[0], "needs a number from 0 to 1000");
    p->rank = (unsigned)rank;
    return 0;
}

int profile_rule(struct profile *p, const struct profile_statement *st, struct buf *fault)
{
    static const struct {
        const char *word;
        int (*rule)(struct profile *p, const struct profile_statement *st, struct buf *fault);
    } rules[] = {{"attribute", rule_attribute},
                 {"class", rule_class},
                 {"detect", rule_detect},
                 {"rank", rule_rank}};
    if (st->fault != NULL) {
        buf_append_str(fault, st->fault);
        return -1;
    }
    for (size_t i = 0; i < COUNT(rules); i++)
        if (strcmp(st->words[0], rules[i].word) == 0)
            return rules[i].rule(p, st, fault);
    return fault_of(fault, st->words[0],
                    "is no statement; choose from: detect rank class attribute");
}

struct profile *profile_new(const char *name)
{
    struct profile *p = mem_zalloc(sizeof *p);
    p->name = mem_strdup(name);
    p->rank = 100;
    return p;
}

void profile_free(struct profile *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->row_count; i++)
        free_row(&p->rows[i]);
    for (size_t i = 0; i < p->class_count; i++)
        free(p->classes[i].name);
    for (size_t i = 0; i < p->condition_count; i++)
        free(p->conditions[i].name);
    free(p->rows);
    free(p->classes);
    free(p->conditions);
    free(p->name);
    free(p);
}
