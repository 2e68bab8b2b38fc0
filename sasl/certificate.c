#include "sasl/certificate.h"

#include <stdlib.h>
#include <string.h>

#include "directory/dn.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

int certificate_read(struct msg *m, bool *has, struct certificate *out)
{
    memset(out, 0, sizeof(*out));
    *has = msg_get_bool(m);
    if (!*has)
        return 0;
    out->verified = msg_get_bool(m);
    out->in_date = msg_get_bool(m);
    out->subject = msg_get_str(m);
    out->fingerprint = msg_get_str(m);
    out->count = msg_get_u32(m);
    if (out->subject == NULL || out->fingerprint == NULL || out->count > CERTIFICATE_EMAILS_MAX)
        return -1;
    for (size_t i = 0; i < out->count; i++)
        if ((out->emails[i] = msg_get_str(m)) == NULL)
            return -1;
    return 0;
}

/* ---- what a subject says; in the normal form of dn.h a comma and a plus only separate ---- */

/* The next part of a normal form up to one of the separators; false at the end. */
static bool next_part(const char **cursor, const char *separators, const char **part, size_t *len)
{
    if (**cursor == '\0')
        return false;
    *part = *cursor;
    *len = strcspn(*cursor, separators);
    *cursor += *len + ((*cursor)[*len] != '\0');
    return true;
}

/* A value of a normal form with its escapes resolved; NULL for one that is no text. */
static char *plain_value(const char *s, size_t len)
{
    struct buf out = {0};
    unsigned char byte;
    for (size_t i = 0; i < len; i++) {
        if (s[i] != '\\') {
            buf_append_byte(&out, (unsigned char)s[i]);
            continue;
        }
        if (len - i < 3 || str_unhex(&byte, 1, (char[]){s[i + 1], s[i + 2], '\0'}) < 0 ||
            byte == '\0') {
            buf_free(&out);
            return NULL;
        }
        buf_append_byte(&out, byte);
        i += 2;
    }
    return buf_steal_str(&out);
}

/* Whether a part of a subject is what the rule's part says; the name that stands for %u is set. */
static bool part_matches(const char *want, size_t want_len, const char *part, size_t len,
                         char **name)
{
    if (want_len > 3 && memcmp(want + want_len - 3, "=%u", 3) == 0) {
        size_t head = want_len - 2;
        if (*name != NULL || len <= head || memcmp(part, want, head) != 0 ||
            memchr(part, '+', len) != NULL)
            return false;
        *name = plain_value(part + head, len - head);
        return *name != NULL;
    }
    return len == want_len && memcmp(part, want, len) == 0;
}

static char *name_by_rule(const char *subject, const char *rule)
{
    char want[DN_MAX];
    const char *w = want, *wpart, *part;
    size_t wlen, len;
    char *name = NULL;
    bool match = dn_normalize(rule, want) > 0;
    while (match && next_part(&w, ",", &wpart, &wlen))
        match =
            next_part(&subject, ",", &part, &len) && part_matches(wpart, wlen, part, len, &name);
    if (match && *subject == '\0' && name != NULL)
        return name;
    free(name);
    return NULL;
}

char *certificate_name_by_rule(const char *subject, const char *rules)
{
    char normal[DN_MAX], *name = NULL;
    if (dn_normalize(subject, normal) < 0)
        return NULL;
    while (name == NULL && *rules != '\0') {
        const char *bar = strstr(rules, " | ");
        char *rule = bar == NULL ? mem_strdup(rules) : mem_strndup(rules, (size_t)(bar - rules));
        name = name_by_rule(normal, rule);
        free(rule);
        rules = bar == NULL ? "" : bar + 3;
    }
    return name;
}

/* Types have short names in a subject's text. */
static const char *short_type(const char *field)
{
    static const char *const names[][2] = {
        {"commonName", "cn"},      {"userId", "uid"},
        {"organizationName", "o"}, {"organizationalUnitName", "ou"},
        {"surname", "sn"},         {"givenName", "gn"},
        {"domainComponent", "dc"}, {"email", "emailaddress"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (str_ieq(field, names[i][0]))
            return names[i][1];
    return field;
}

char *certificate_field(const char *subject, const char *field)
{
    char normal[DN_MAX];
    const char *cursor = normal, *part, *type = short_type(field);
    size_t len, type_len = strlen(type);
    if (dn_normalize(subject, normal) < 0)
        return NULL;
    while (next_part(&cursor, ",+", &part, &len))
        if (len > type_len + 1 && str_ieq_n(part, type, type_len) && part[type_len] == '=')
            return plain_value(part + type_len + 1, len - type_len - 1);
    return NULL;
}

/* ---- the ways of auth_ssl_cert_map ---- */

typedef enum answer way_fn(struct snapshot *snap, const struct certificate *c,
                           const struct conf *conf, const struct entry **out);

static enum answer by_certificate(struct snapshot *snap, const struct certificate *c,
                                  const struct conf *conf, const struct entry **out)
{
    char hash[2 * HMAC_LEN + 1];
    size_t n = 0;
    if (!c->verified && !(c->in_date && conf->auth_ssl_trust_directory))
        return ANSWER_ABSENT;
    for (const char *s = c->fingerprint; *s != '\0' && n + 1 < sizeof(hash); s++)
        if (*s != ':')
            hash[n++] = str_lower_char(*s);
    hash[n] = '\0';
    return entry_by_certificate(snap, hash, out);
}

static enum answer by_san(struct snapshot *snap, const struct certificate *c,
                          const struct conf *conf, const struct entry **out)
{
    enum answer answer = ANSWER_ABSENT;
    (void)conf;
    for (size_t i = 0; c->verified && i < c->count && answer == ANSWER_ABSENT; i++)
        if (strchr(c->emails[i], '@') != NULL)
            answer = entry_by_login(snap, c->emails[i], out);
    return answer;
}

static enum answer by_dn(struct snapshot *snap, const struct certificate *c,
                         const struct conf *conf, const struct entry **out)
{
    (void)conf;
    return c->verified ? entry_by_dn(snap, c->subject, out) : ANSWER_ABSENT;
}

static enum answer by_name(struct snapshot *snap, char *name, const struct entry **out)
{
    enum answer answer = name == NULL ? ANSWER_ABSENT : entry_by_login(snap, name, out);
    free(name);
    return answer;
}

static enum answer by_rule(struct snapshot *snap, const struct certificate *c,
                           const struct conf *conf, const struct entry **out)
{
    if (!c->verified)
        return ANSWER_ABSENT;
    return by_name(snap, certificate_name_by_rule(c->subject, conf->ssl_cert_dn_rule), out);
}

static enum answer by_field(struct snapshot *snap, const struct certificate *c,
                            const struct conf *conf, const struct entry **out)
{
    if (!c->verified || !conf->auth_ssl_username_from_cert)
        return ANSWER_ABSENT;
    return by_name(snap, certificate_field(c->subject, conf->ssl_cert_username_field), out);
}

static const struct way {
    const char *word;
    way_fn *fn;
} ways[] = {
    {"certificate", by_certificate},
    {"san", by_san},
    {"dn", by_dn},
    {"rule", by_rule},
};

static enum answer way_ask(struct snapshot *snap, const char *word, const struct certificate *c,
                           const struct conf *conf, const struct entry **out, const char **how)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        if (!str_ieq(word, ways[i].word))
            continue;
        *how = ways[i].word;
        return ways[i].fn(snap, c, conf, out);
    }
    return ANSWER_ABSENT;
}

enum login_answer certificate_login(struct auth_process *p, const struct certificate *c,
                                    struct login *out, const char **how, const char **why)
{
    const struct conf_list *map = &p->conf->auth_ssl_cert_map;
    struct snapshot *snap = snapshot_take(p->directory);
    const struct entry *e = NULL;
    enum answer answer = ANSWER_ABSENT;

    memset(out, 0, sizeof(*out));
    if (snap == NULL) {
        *why = "the replica cannot be read";
        return LOGIN_UNKNOWN;
    }
    for (size_t i = 0; i < map->n && answer == ANSWER_ABSENT; i++)
        answer = way_ask(snap, map->v[i], c, p->conf, &e, how);
    if (answer == ANSWER_ABSENT) {
        *how = "ssl_cert_username_field";
        answer = by_field(snap, c, p->conf, &e);
    }
    /* No way may have been open to this certificate; what cannot be told comes before. */
    if (answer == ANSWER_ABSENT && !snapshot_in_sync(snap))
        answer = ANSWER_UNKNOWN;
    enum login_answer result = login_of(p, snap, answer, e, NULL, out, why);
    if (result == LOGIN_REFUSED && answer == ANSWER_ABSENT)
        *why = "the certificate is nobody's";
    snapshot_release(&snap);
    return result;
}
