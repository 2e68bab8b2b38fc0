#include "directory/maps.h"

#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"

/* ---- names ---- */

enum map_kind map_kind(const char *word, const char **path)
{
    static const char *const files[] = {
        "hash:", "lmdb:", "btree:", "cdb:", "dbm:", "sdbm:", "texthash:"};
    if (str_istarts(word, "proxy:"))
        word += strlen("proxy:");
    *path = word;
    if (strcmp(word, "directory") == 0)
        return MAP_DIRECTORY;
    if (strcmp(word, MAP_ACCOUNTS) == 0)
        return MAP_UNIX;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t len = strlen(files[i]);
        if (strncmp(word, files[i], len) == 0 && word[len] == '/') {
            *path = word + len;
            return MAP_FILE;
        }
    }
    if (strncmp(word, "ldap:", 5) != 0 || word[5] != '/')
        return MAP_NONE;
    *path = word + 5;
    return MAP_LDAP;
}

bool maps_in_use(const struct conf *conf)
{
    const char *path;
    for (size_t i = 0; i < conf->alias_maps.n; i++)
        if (map_kind(conf->alias_maps.v[i], &path) != MAP_DIRECTORY)
            return true;
    return false;
}

/* Two words for one thing share its records. */
size_t map_id(const char *word, char id[DB_KEY_MAX])
{
    const char *path;
    char kind = (char)('0' + map_kind(word, &path));
    size_t len = strlen(path);
    if (len > DB_KEY_MAX - 3)
        len = DB_KEY_MAX - 3;
    id[0] = kind;
    memcpy(id + 1, path, len);
    id[len + 1] = '\0';
    return len + 2; /* with the NUL */
}

void map_key(struct index_key *key, const char *word, const char *name)
{
    char text[DB_KEY_MAX + MAP_KEY_MAX];
    size_t len = map_id(word, text), n = strnlen(name, MAP_KEY_MAX - 1);
    memcpy(text + len, name, n);
    index_key(key, INDEX_NAME, text, len + n);
}

/* ---- reading ---- */

static enum answer read_record(const void *data, size_t len, int64_t now, const struct entry **out,
                               bool *ask)
{
    struct map_head head;
    if (len < sizeof head)
        return ANSWER_UNKNOWN;
    memcpy(&head, data, sizeof head);
    *ask = now > head.good_until;
    if (*ask || head.answer > ANSWER_UNKNOWN)
        return ANSWER_UNKNOWN;
    const uint8_t *entry = (const uint8_t *)data + sizeof head;
    if (entry_valid(entry, len - sizeof head))
        *out = (const struct entry *)entry;
    else if (head.answer == ANSWER_FOUND)
        return ANSWER_UNKNOWN;
    return (enum answer)head.answer;
}

enum answer map_find(struct snapshot *snap, const char *word, const char *key,
                     const struct entry **out, bool *ask)
{
    const char *path;
    const void *data;
    size_t len;
    struct index_key k;
    *out = NULL;
    *ask = false;
    if (strlen(key) >= MAP_KEY_MAX || *key == '\0')
        return ANSWER_ABSENT;
    map_key(&k, word, key);
    enum db_result rc = snapshot_map(snap, &k, &data, &len);
    if (rc == DB_OK)
        return read_record(data, len, clock_wall(), out, ask);
    if (rc == DB_FAIL)
        return ANSWER_UNKNOWN;
    if (map_kind(word, &path) != MAP_FILE) {
        *ask = true;
        return ANSWER_UNKNOWN;
    }
    map_key(&k, word, "");
    return snapshot_map(snap, &k, &data, &len) == DB_OK ? ANSWER_ABSENT : ANSWER_UNKNOWN;
}
