#include "sasl/jwt.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define KEYS_MAX     64
#define USER_LEN_MAX 512
/* Clocks differ by so many seconds. */
#define LEEWAY 60

struct key {
    cjose_jwk_t *jwk;
    char *alg; /* the only algorithm that it is for, or NULL */
};

struct jwt_keys {
    const char *path;
    struct timespec changed; /* the file that was read */
    ino_t inode;
    off_t size;
    bool looked;
    struct key key[KEYS_MAX];
    size_t count;
};

/* ---- keys ---- */

static void keys_clear(struct jwt_keys *k)
{
    for (size_t i = 0; i < k->count; i++) {
        cjose_jwk_release(k->key[i].jwk);
        free(k->key[i].alg);
    }
    k->count = 0;
}

struct jwt_keys *jwt_keys_new(const char *path)
{
    struct jwt_keys *k = mem_zalloc(sizeof(*k));
    k->path = path;
    return k;
}

void jwt_keys_free(struct jwt_keys **pk)
{
    if (*pk == NULL)
        return;
    keys_clear(*pk);
    free(*pk);
    *pk = NULL;
}

static const char *json_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* A key for signatures. Secrets shared with the issuer (oct) are none of ours. */
static void keys_add(struct jwt_keys *k, json_t *item)
{
    const char *use = json_text(item, "use"), *kty = json_text(item, "kty");
    const char *alg = json_text(item, "alg");
    if (k->count == KEYS_MAX || kty == NULL || (use != NULL && strcmp(use, "sig") != 0) ||
        (strcmp(kty, "RSA") != 0 && strcmp(kty, "EC") != 0))
        return;
    cjose_err err;
    char *text = json_dumps(item, JSON_COMPACT);
    cjose_jwk_t *jwk = text == NULL ? NULL : cjose_jwk_import(text, strlen(text), &err);
    free(text);
    if (jwk == NULL) {
        log_warning("a key cannot be used", LOG_STR("file", k->path));
        return;
    }
    k->key[k->count++] = (struct key){.jwk = jwk, .alg = alg == NULL ? NULL : mem_strdup(alg)};
}

/* Reads the file where it has changed. A new one that cannot be read does not replace the old. */
static void keys_refresh(struct jwt_keys *k)
{
    struct stat st;
    json_error_t error;
    if (stat(k->path, &st) != 0) {
        if (!k->looked)
            log_error("oauth2_jwks_file cannot be read", LOG_STR("file", k->path));
        k->looked = true;
        return;
    }
    if (k->looked && st.st_ino == k->inode && st.st_size == k->size &&
        st.st_mtim.tv_sec == k->changed.tv_sec && st.st_mtim.tv_nsec == k->changed.tv_nsec)
        return;
    k->looked = true;
    k->inode = st.st_ino;
    k->size = st.st_size;
    k->changed = st.st_mtim;
    json_t *root = json_load_file(k->path, JSON_REJECT_DUPLICATES, &error);
    json_t *list = json_object_get(root, "keys"), *item;
    size_t i;
    if (!json_is_array(list)) {
        log_error("oauth2_jwks_file is no JWK set; the keys from before stay",
                  LOG_STR("file", k->path), LOG_INT("line", root == NULL ? error.line : 1));
    } else {
        keys_clear(k);
        json_array_foreach(list, i, item) keys_add(k, item);
        log_info("keys of access tokens read", LOG_STR("file", k->path),
                 LOG_UINT("keys", k->count));
    }
    json_decref(root);
}

/* ---- signature ---- */

/* The algorithms that we believe and the type of key that each wants: a token must not choose. */
static bool fits(const struct key *key, const char *alg)
{
    static const struct {
        const char *alg;
        cjose_jwk_kty_t kty;
    } known[] = {
        {"RS256", CJOSE_JWK_KTY_RSA}, {"RS384", CJOSE_JWK_KTY_RSA}, {"RS512", CJOSE_JWK_KTY_RSA},
        {"PS256", CJOSE_JWK_KTY_RSA}, {"PS384", CJOSE_JWK_KTY_RSA}, {"PS512", CJOSE_JWK_KTY_RSA},
        {"ES256", CJOSE_JWK_KTY_EC},  {"ES384", CJOSE_JWK_KTY_EC},  {"ES512", CJOSE_JWK_KTY_EC},
    };
    cjose_err err;
    if (key->alg != NULL && strcmp(key->alg, alg) != 0)
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(known[i].alg, alg) == 0)
            return cjose_jwk_get_kty(key->jwk, &err) == known[i].kty;
    return false;
}

static bool signed_by(struct jwt_keys *k, const char *token, const char *alg, const char *kid,
                      json_t **claims)
{
    cjose_err err;
    for (size_t i = 0; i < k->count; i++) {
        const char *id = cjose_jwk_get_kid(k->key[i].jwk, &err);
        if ((kid != NULL && id != NULL && strcmp(kid, id) != 0) || !fits(&k->key[i], alg))
            continue;
        /* One that failed cannot be tried again. */
        cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
        uint8_t *text = NULL;
        size_t len = 0;
        bool good = jws != NULL && cjose_jws_verify(jws, k->key[i].jwk, &err) &&
                    cjose_jws_get_plaintext(jws, &text, &len, &err);
        if (good)
            *claims = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
        cjose_jws_release(jws);
        if (good)
            return true;
    }
    return false;
}

/* ---- claims ---- */

/* Whether a claim, a string or a list of them, has a value that is in the list; with words, a
 * string is several. An empty list asks for nothing. */
static bool has_one(const json_t *claim, const struct conf_list *wanted)
{
    size_t i;
    json_t *item;
    if (wanted->n == 0)
        return true;
    for (size_t w = 0; w < wanted->n; w++) {
        const char *text = json_string_value(claim);
        if (text != NULL && strcmp(text, wanted->v[w]) == 0)
            return true;
        json_array_foreach(claim, i, item)
        {
            text = json_string_value(item);
            if (text != NULL && strcmp(text, wanted->v[w]) == 0)
                return true;
        }
    }
    return false;
}

static bool scope_has(const json_t *scope, const char *word)
{
    const char *text = json_string_value(scope), *token;
    size_t len, i;
    json_t *item;
    while (text != NULL && str_token(&text, " ", &token, &len))
        if (len == strlen(word) && memcmp(token, word, len) == 0)
            return true;
    json_array_foreach(scope, i, item)
    {
        text = json_string_value(item);
        if (text != NULL && strcmp(text, word) == 0)
            return true;
    }
    return false;
}

static bool scopes_are_there(const json_t *claims, const struct conf_list *wanted)
{
    const json_t *scope = json_object_get(claims, "scope");
    if (scope == NULL)
        scope = json_object_get(claims, "scp");
    for (size_t w = 0; w < wanted->n; w++)
        if (!scope_has(scope, wanted->v[w]))
            return false;
    return true;
}

static bool in_time(const json_t *claims, int64_t now, bool must_end)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    if (exp == NULL ? must_end
                    : !json_is_number(exp) || (double)now > json_number_value(exp) + LEEWAY)
        return false;
    return nbf == NULL || (json_is_number(nbf) && (double)now >= json_number_value(nbf) - LEEWAY);
}

static enum token_answer judge(const struct conf *conf, const json_t *claims, int64_t now,
                               bool must_end, char **user, const char **why)
{
    const char *name = json_text(claims, conf->oauth2_username_attribute);
    if (!in_time(claims, now, must_end)) {
        *why = "the token has expired, or has no end";
        return TOKEN_INVALID;
    }
    if (!has_one(json_object_get(claims, "iss"), &conf->oauth2_issuers)) {
        *why = "the token is of another issuer";
        return TOKEN_INVALID;
    }
    if (!has_one(json_object_get(claims, "aud"), &conf->oauth2_audience)) {
        *why = "the token is for somebody else";
        return TOKEN_INVALID;
    }
    if (name == NULL || *name == '\0' || strlen(name) > USER_LEN_MAX ||
        (strcmp(conf->oauth2_username_attribute, "email") == 0 &&
         json_is_false(json_object_get(claims, "email_verified")))) {
        *why = "the token names nobody";
        return TOKEN_INVALID;
    }
    if (!scopes_are_there(claims, &conf->oauth2_scope)) {
        *why = "the token lacks a scope";
        return TOKEN_SCOPE;
    }
    *user = mem_strdup(name);
    return TOKEN_GOOD;
}

/* ---- tokens ---- */

bool jwt_looks_like_one(const char *token)
{
    int dots = 0;
    for (; *token != '\0'; token++)
        dots += *token == '.';
    return dots == 2;
}

enum token_answer jwt_verify(struct jwt_keys *keys, const struct conf *conf, const char *token,
                             int64_t now, char **user, const char **why)
{
    cjose_err err;
    json_t *claims = NULL;
    char *alg = NULL, *kid = NULL;
    enum token_answer answer = TOKEN_INVALID;

    keys_refresh(keys);
    if (keys->count == 0) {
        *why = "there are no keys to verify tokens with";
        return TOKEN_UNKNOWN;
    }
    *why = "the token is malformed";
    cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
    if (jws == NULL)
        return TOKEN_INVALID;
    cjose_header_t *header = cjose_jws_get_protected(jws);
    const char *value = cjose_header_get(header, "alg", &err);
    alg = value == NULL ? NULL : mem_strdup(value);
    value = cjose_header_get(header, "kid", &err);
    kid = value == NULL ? NULL : mem_strdup(value);
    /* Extensions that have to be understood (RFC 7515 section 4.1.11) are not. */
    char *critical = cjose_header_get_raw(header, "crit", &err);
    cjose_jws_release(jws);
    if (alg == NULL || critical != NULL)
        goto out;
    *why = "the token's signature is none of ours";
    if (signed_by(keys, token, alg, kid, &claims))
        answer = judge(conf, claims, now, true, user, why);
out:
    cjose_get_dealloc()(critical);
    json_decref(claims);
    free(alg);
    free(kid);
    return answer;
}

enum token_answer jwt_judge_introspection(const struct conf *conf, const char *json, size_t len,
                                          int64_t now, char **user, const char **why)
{
    enum token_answer answer = TOKEN_UNKNOWN;
    json_t *claims = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *active = json_object_get(claims, "active");
    *why = "the answer to introspection is malformed";
    if (json_is_false(active)) {
        *why = "the token is not active";
        answer = TOKEN_INVALID;
    } else if (json_is_true(active)) {
        answer = judge(conf, claims, now, false, user, why);
    }
    json_decref(claims);
    return answer;
}
