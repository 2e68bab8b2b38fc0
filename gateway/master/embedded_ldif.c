#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/master/embedded.h"

#define EMBEDDED_STOCK_SCHEMA "/etc/ldap/schema"
#define EMBEDDED_MODULES      "/usr/lib/ldap"

enum {
    SCHEMA_FILE_MAX = 1 << 22
};

/* Whatever the value, in base64 it is one line of LDIF. */
static void ldif_put(struct buf *out, const char *attribute, const char *value)
{
    buf_printf(out, "%s:: ", attribute);
    str_base64_encode(out, value, strlen(value));
    buf_append_byte(out, '\n');
}

static void ldif_printf(struct buf *out, const char *attribute, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void ldif_printf(struct buf *out, const char *attribute, const char *fmt, ...)
{
    struct buf value = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&value, fmt, ap);
    va_end(ap);
    ldif_put(out, attribute, buf_str(&value));
    buf_free(&value);
}

/* Schema files go in whole: slapadd then needs no access to where they are. */
static int ldif_put_file(struct buf *out, const char *folder, const char *name, struct buf *errors)
{
    char *path = mem_printf("%s/%s.ldif", folder, name);
    int rc = file_read(path, SCHEMA_FILE_MAX, out);
    if (rc < 0)
        buf_printf(errors,
                   "embedded_directory: the schema %s cannot be read: %s; install the "
                   "package slapd, or see schema_directory\n",
                   path, strerror(errno));
    free(path);
    buf_append_str(out, "\n\n");
    return rc;
}

/* The configuration's own quoting has no place for these. */
static int ldif_check_base(const struct conf *conf, struct buf *errors)
{
    if (strpbrk(conf->search_base, "\"\\$+") == NULL)
        return 0;
    buf_printf(errors,
               "%s: search_base: has a character that the embedded directory cannot use; "
               "choose a DN without \" \\ $ and +\n",
               conf_origin(conf, "search_base"));
    return -1;
}

/* ldapi names a peer by its ids (EXTERNAL); these are the ones that may do everything. */
static void ldif_put_admins(struct buf *out, const struct conf *conf, const struct owners *owners)
{
    const uid_t uids[] = {0, getuid(), owners->directory.uid};
    for (size_t i = 0; i < sizeof(uids) / sizeof(*uids); i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || uids[j] == uids[i];
        if (!again)
            ldif_printf(out, "olcAuthzRegexp",
                        "\"gidNumber=[0-9]+[+]uidNumber=%u,cn=peercred,cn=external,cn=auth\" "
                        "\"cn=admin,%s\"",
                        (unsigned)uids[i], conf->search_base);
    }
}

static void ldif_put_database(struct buf *out, const struct conf *conf)
{
    buf_append_str(out, "dn: olcDatabase={-1}frontend,cn=config\n"
                        "objectClass: olcDatabaseConfig\n"
                        "objectClass: olcFrontendConfig\n"
                        "olcDatabase: {-1}frontend\n"
                        "\n"
                        "dn: olcDatabase={0}config,cn=config\n"
                        "objectClass: olcDatabaseConfig\n"
                        "olcDatabase: {0}config\n");
    ldif_printf(out, "olcRootDN", "cn=admin,%s", conf->search_base);
    buf_append_str(out, "\n"
                        "dn: olcDatabase={1}mdb,cn=config\n"
                        "objectClass: olcDatabaseConfig\n"
                        "objectClass: olcMdbConfig\n"
                        "olcDatabase: {1}mdb\n");
    ldif_put(out, "olcSuffix", conf->search_base);
    ldif_printf(out, "olcRootDN", "cn=admin,%s", conf->search_base);
    ldif_printf(out, "olcDbDirectory", "%s/slapd/db", conf->state_directory);
    buf_printf(out, "olcDbMaxSize: %" PRIu64 "\n", conf->directory_map_size);
    buf_append_str(out,
                   "olcDbIndex: objectClass eq\n"
                   "olcDbIndex: entryUUID eq\n"
                   "olcDbIndex: entryCSN eq\n"
                   "olcDbIndex: uid eq\n"
                   "olcDbIndex: mail eq\n"
                   "olcDbIndex: mailLocalAddress eq\n"
                   "olcDbIndex: member eq\n"
                   "olcAccess: {0}to attrs=userPassword,authPassword by self write by anonymous "
                   "auth by * none\n"
                   "olcAccess: {1}to * by users read by * none\n"
                   "\n"
                   "dn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config\n"
                   "objectClass: olcOverlayConfig\n"
                   "objectClass: olcSyncProvConfig\n"
                   "olcOverlay: {0}syncprov\n"
                   "olcSpCheckpoint: 100 10\n"
                   "olcSpSessionlog: 10000\n");
}

int embedded_config_ldif(const struct conf *conf, const struct owners *owners, struct buf *out,
                         struct buf *errors)
{
    static const char *const stock[] = {"core", "cosine", "nis", "inetorgperson", "misc"};
    if (ldif_check_base(conf, errors) < 0)
        return -1;
    buf_append_str(out, "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n");
    ldif_printf(out, "olcPidFile", "%s/slapd/slapd.pid", conf->state_directory);
    ldif_put_admins(out, conf, owners);
    buf_append_str(out, "\n"
                        "dn: cn=module{0},cn=config\n"
                        "objectClass: olcModuleList\n"
                        "cn: module{0}\n"
                        "olcModulePath: " EMBEDDED_MODULES "\n"
                        "olcModuleLoad: back_mdb\n"
                        "olcModuleLoad: syncprov\n"
                        "\n"
                        "dn: cn=schema,cn=config\n"
                        "objectClass: olcSchemaConfig\n"
                        "cn: schema\n"
                        "\n");
    for (size_t i = 0; i < sizeof(stock) / sizeof(*stock); i++) {
        if (ldif_put_file(out, EMBEDDED_STOCK_SCHEMA, stock[i], errors) < 0)
            return -1;
    }
    if (ldif_put_file(out, conf->schema_directory, "dirigo", errors) < 0)
        return -1;
    ldif_put_database(out, conf);
    return 0;
}

int embedded_base_ldif(const struct conf *conf, struct buf *out, struct buf *errors)
{
    static const struct {
        const char *attribute, *classes;
        bool organization; /* the class demands o as well */
    } forms[] = {
        {"dc", "objectClass: dcObject\nobjectClass: organization\n", true},
        {"o", "objectClass: organization\n", false},
        {"ou", "objectClass: organizationalUnit\n", false},
        {"c", "objectClass: country\n", false},
    };
    const char *base = conf->search_base;
    size_t name = strcspn(base, "="), value = strcspn(base + name, ",");
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms) && value > 1; i++) {
        if (!str_is(base, name, forms[i].attribute))
            continue;
        char *text = mem_strndup(base + name + 1, value - 1);
        ldif_put(out, "dn", base);
        buf_append_str(out, forms[i].classes);
        ldif_put(out, forms[i].attribute, text);
        if (forms[i].organization)
            ldif_put(out, "o", text);
        free(text);
        return 0;
    }
    buf_printf(errors,
               "%s: search_base: the embedded directory cannot begin with %s; start the DN "
               "with dc=, o=, ou= or c=\n",
               conf_origin(conf, "search_base"), base);
    return -1;
}
