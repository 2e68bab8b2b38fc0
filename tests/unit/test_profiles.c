/* Profiles: their files, which of them a server shows, and what entries mean by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "directory/profile.h"
#include "directory/profile_file.h"
#include "gateway/base/mem.h"

struct pair {
    const char *name, *value;
};

struct world {
    struct conf conf;
    struct profile_set *set;
    struct profile_table *table;
    struct buf encoded, secrets, errors;
};

/* The profiles that come with Dirigo, and those of names that apply. */
static void open_world(struct world *w, size_t n, const char *const *names)
{
    memset(w, 0, sizeof *w);
    w->conf.schema_directory = (char *)SCHEMA_DIR;
    w->conf.directory_profiles = (struct conf_list){.n = n, .v = (char **)names};
    w->set = profile_set_load(&w->conf, &w->errors);
    assert_string_equal(buf_str(&w->errors), "");
    w->table = profile_set_choose(w->set, &w->conf, NULL);
}
#define OPEN(w, ...)                                                                               \
    open_world((w), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                        \
               (const char *const[]){__VA_ARGS__})

static void close_world(struct world *w)
{
    profile_table_free(&w->table);
    profile_set_free(&w->set);
    buf_free(&w->encoded);
    buf_free(&w->secrets);
    buf_free(&w->errors);
}

/* Maps an entry and encodes it; NULL where it means nothing. */
static const struct entry *map(struct world *w, const struct pair *pairs)
{
    static struct entry_draft draft;
    struct profile_entry p;
    struct uuid u = {{7}};
    profile_begin(&p, w->table, &draft, &w->secrets, &u, "cn=x,dc=y");
    for (; pairs->name != NULL; pairs++)
        profile_value(&p, pairs->name, strlen(pairs->name), pairs->value, strlen(pairs->value));
    bool means = profile_end(&p);
    if (means)
        assert_int_equal(entry_encode(&draft, &w->encoded), 0);
    entry_draft_free(&draft);
    return means ? (const struct entry *)w->encoded.data : NULL;
}
#define MAP(...) map(&w, (const struct pair[]){__VA_ARGS__, {NULL, NULL}})

#define CHECK(e, attr, i, text) assert_string_equal(entry_value((e), (attr), (i)), (text))

static void test_kinds(void **state)
{
    (void)state;
    struct world w;
    OPEN(&w, "lachman", "qmail");
    const struct entry *e = MAP({"objectClass", "inetOrgPerson"}, {"mail", "a@example.org"});
    assert_int_equal(entry_kinds(e), ENTRY_USER);
    assert_null(MAP({"objectClass", "inetOrgPerson"}, {"cn", "No Mail"}));
    assert_null(MAP({"objectClass", "device"}, {"mail", "a@example.org"}));
    e = MAP({"OBJECTCLASS", "INETLOCALMAILRECIPIENT"}, {"mailLocalAddress", "a@example.org"},
            {"mailRoutingAddress", "b@example.org"});
    assert_int_equal(entry_kinds(e), ENTRY_ALIAS);
    CHECK(e, ATTR_ROUTING_ADDRESS, 0, "b@example.org");
    e = MAP({"objectClass", "inetLocalMailRecipient"}, {"mailLocalAddress", "a@example.org"},
            {"mailHost", "h"});
    assert_int_equal(entry_kinds(e), ENTRY_USER);
    e = MAP({"objectClass", "groupOfNames"}, {"objectClass", "inetLocalMailRecipient"},
            {"member;x-opt", "cn=y"}, {"mailLocalAddress", "g@example.org"});
    assert_int_equal(entry_kinds(e), ENTRY_GROUP);
    CHECK(e, ATTR_MEMBER, 0, "cn=y");
    e = MAP({"objectClass", "nisMailAlias"}, {"cn", "root"}, {"cn", "r@example.org"},
            {"rfc822MailMember", "a@example.org"});
    assert_int_equal(entry_kinds(e), ENTRY_ALIAS);
    CHECK(e, ATTR_UID, 0, "root");
    CHECK(e, ATTR_MAIL_ALTERNATE, 0, "r@example.org");
    e = MAP({"objectClass", "dirigoPolicy"}, {"dirigoGlobalPolicy", "TRUE"},
            {"dirigoSmtpdHeloRestrictions", "reject"});
    assert_int_equal(entry_all_kinds(e), ENTRY_POLICY | ENTRY_GLOBAL);
    CHECK(e, ATTR_HELO_RESTRICTIONS, 0, "reject");
    close_world(&w);
}

static void test_values(void **state)
{
    (void)state;
    struct world w;
    static const struct {
        const char *status;
        unsigned kinds;
    } statuses[] = {{"active", 0},
                    {"Enabled", 0},
                    {"noaccess", ENTRY_NO_LOGIN},
                    {"what is this", ENTRY_NO_LOGIN},
                    {"DISABLED", ENTRY_NO_LOGIN | ENTRY_DISABLED},
                    {"deleted", ENTRY_NO_LOGIN | ENTRY_DISABLED}};
    OPEN(&w, "lachman", "qmail");
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        const struct entry *e =
            MAP({"objectClass", "qmailUser"}, {"uid", "a"}, {"accountStatus", statuses[i].status});
        assert_int_equal(entry_kinds(e), ENTRY_USER | statuses[i].kinds);
    }
    /* qmail-LDAP keeps a copy unless told otherwise, mailRoutingAddress does not. */
    const struct entry *e =
        MAP({"objectClass", "qmailUser"}, {"uid", "a"}, {"mailForwardingAddress", "b@example.org"});
    CHECK(e, ATTR_DELIVERY_MODE, 0, "keep");
    e = MAP({"objectClass", "qmailUser"}, {"uid", "a"}, {"mailForwardingAddress", "b@example.org"},
            {"deliveryMode", "nolocal"});
    CHECK(e, ATTR_DELIVERY_MODE, 0, "nolocal");
    e = MAP({"objectClass", "dirigoUser"}, {"uid", "a"}, {"mailRoutingAddress", "b@example.org"});
    assert_int_equal(entry_count(e, ATTR_DELIVERY_MODE), 0);
    e = MAP({"objectClass", "dirigoUser"}, {"uid", "a"}, {"authPassword", "one"},
            {"authPassword", "two"});
    assert_int_equal(w.secrets.len, 8);
    assert_memory_equal(w.secrets.data, "one\0two", 8);
    for (unsigned a = 0; a < ATTR_COUNT; a++) /* and nowhere else */
        for (size_t i = 0; i < entry_count(e, a); i++)
            assert_string_not_equal(entry_value(e, a, i), "one");
    close_world(&w);
}

static void test_active_directory(void **state)
{
    (void)state;
    struct world w;
    OPEN(&w, "ad");
    const struct entry *e = MAP(
        {"proxyAddresses", "smtp:second@example.org"}, {"proxyAddresses", "SMTP:first@example.org"},
        {"proxyAddresses", "X500:/o=example"}, {"sAMAccountName", "ann"},
        {"userPrincipalName", "ann@corp.example"}, {"userAccountControl", "514"},
        {"mDBOverHardQuotaLimit", "2048"}, {"objectClass", "user"});
    assert_int_equal(entry_kinds(e), ENTRY_USER | ENTRY_NO_LOGIN);
    assert_int_equal(entry_count(e, ATTR_MAIL), 1);
    CHECK(e, ATTR_MAIL, 0, "first@example.org");
    assert_int_equal(entry_count(e, ATTR_MAIL_ALTERNATE), 1);
    CHECK(e, ATTR_MAIL_ALTERNATE, 0, "second@example.org");
    assert_int_equal(entry_count(e, ATTR_UID), 2);
    CHECK(e, ATTR_QUOTA, 0, "2097152");
    e = MAP({"objectClass", "user"}, {"sAMAccountName", "bob"}, {"userAccountControl", "512"},
            {"targetAddress", "SMTP:bob@elsewhere.example"});
    assert_int_equal(entry_kinds(e), ENTRY_USER);
    CHECK(e, ATTR_ROUTING_ADDRESS, 0, "bob@elsewhere.example");
    assert_null(
        MAP({"objectClass", "user"}, {"objectClass", "computer"}, {"sAMAccountName", "PC$"}));
    close_world(&w);
}

static void test_suites(void **state)
{
    (void)state;
    struct world w;
    OPEN(&w, "univention", "kolab", "iredmail", "netscape");
    /* A contact's address is no mailbox, and cn is a domain's name where the class says so. */
    const struct entry *e =
        MAP({"mail", "private@elsewhere.example"}, {"mailPrimaryAddress", "a@example.org"},
            {"univentionMailUserQuota", "3"}, {"sambaAcctFlags", "[UD         ]"}, {"uid", "a"},
            {"objectClass", "univentionMail"});
    assert_int_equal(entry_kinds(e), ENTRY_USER | ENTRY_NO_LOGIN);
    assert_int_equal(entry_count(e, ATTR_MAIL), 1);
    CHECK(e, ATTR_MAIL, 0, "a@example.org");
    CHECK(e, ATTR_QUOTA, 0, "3145728");
    e = MAP({"cn", "example.org"}, {"objectClass", "univentionMailDomainname"});
    assert_int_equal(entry_kinds(e), ENTRY_DOMAIN);
    CHECK(e, ATTR_DOMAIN, 0, "example.org");
    e = MAP({"cn", "Ann"}, {"objectClass", "univentionMail"}, {"uid", "ann"});
    assert_int_equal(entry_count(e, ATTR_DOMAIN), 0);
    CHECK(e, ATTR_CN, 0, "Ann");
    close_world(&w);

    OPEN(&w, "iredmail");
    e = MAP({"objectClass", "mailUser"}, {"mail", "a@example.org"}, {"enabledService", "imap"},
            {"enabledService", "Mail"}, {"mailQuota", "0"}, {"memberOfGroup", "l@example.org"});
    assert_int_equal(entry_kinds(e), ENTRY_USER);
    assert_int_equal(entry_count(e, ATTR_QUOTA), 0);
    CHECK(e, ATTR_MEMBER_OF, 0, "l@example.org");
    e = MAP({"objectClass", "mailUser"}, {"mail", "a@example.org"}, {"enabledService", "imap"});
    assert_int_equal(entry_kinds(e), ENTRY_USER | ENTRY_NO_LOGIN | ENTRY_DISABLED);
    e = MAP({"objectClass", "mailDomain"}, {"domainName", "example.org"},
            {"domainAliasName", "example.net"});
    assert_int_equal(entry_count(e, ATTR_DOMAIN), 2);
    CHECK(e, ATTR_DOMAIN_TARGET, 0, "example.org");
    close_world(&w);

    OPEN(&w, "kolab", "netscape");
    e = MAP({"objectClass", "kolabInetOrgPerson"}, {"mail", "a@example.org"},
            {"alias", "b@example.org"}, {"mailQuota", "10"}, {"kolabDeleteflag", "host"});
    assert_int_equal(entry_kinds(e), ENTRY_USER | ENTRY_NO_LOGIN | ENTRY_DISABLED);
    CHECK(e, ATTR_QUOTA, 0, "10240");
    e = MAP({"objectClass", "mailRecipient"}, {"mail", "a@example.org"}, {"mailQuota", "-1"},
            {"mailDeliveryOption", "forward"}, {"mailForwardingAddress", "b@example.org"});
    CHECK(e, ATTR_DELIVERY_MODE, 0, "nolocal");
    assert_int_equal(entry_count(e, ATTR_QUOTA), 0);
    close_world(&w);
}

/* A profile can only name what has a name. */
static void test_names(void **state)
{
    (void)state;
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++)
        assert_string_not_equal(entry_attr_name(attr), "attribute");
}

/* ---- detection ---- */

static void tell(struct world *w, const char *attr, const char *value)
{
    profile_set_tell(w->set, attr, value, strlen(value));
}

static void check_choice(struct world *w, const char *before, const char *names)
{
    profile_table_free(&w->table);
    w->table = profile_set_choose(w->set, &w->conf, before);
    const char *signature = profile_table_signature(w->table);
    size_t len = strlen(names);
    if (strncmp(signature, names, len) != 0 || signature[len] != '#')
        fail_msg("\"%s\" instead of \"%s\"", signature, names);
}

static void test_detection(void **state)
{
    (void)state;
    struct world w;
    OPEN(&w, "auto");
    check_choice(&w, NULL, "qmail netscape lachman dirigo");
    check_choice(&w, "ad dirigo#12345678", "ad dirigo");
    tell(&w, "objectClasses", "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )");
    check_choice(&w, NULL, "dirigo");
    tell(&w, "objectClasses", "( 1.3 NAME ( 'x' 'inetLocalMailRecipient' ) SUP top AUXILIARY )");
    check_choice(&w, NULL, "lachman dirigo");
    tell(&w, "objectClasses", "( 1.3 NAME 'qmailUser' DESC 'no NAME ''univentionMail''' )");
    check_choice(&w, NULL, "qmail lachman dirigo");
    tell(&w, "objectClasses", "( 1.3 NAME 'mailUser' )"); /* half of what iredmail is told by */
    check_choice(&w, NULL, "qmail lachman dirigo");
    tell(&w, "attributeTypes", "( 1.3 NAME 'enabledService' )");
    check_choice(&w, NULL, "iredmail qmail lachman dirigo");
    profile_set_forget(w.set);
    tell(&w, "supportedCapabilities", "1.2.840.113556.1.4.800");
    check_choice(&w, NULL, "ad dirigo");
    profile_set_forget(w.set);
    static const char *const broken[] = {"", "(", "( 1 NAME '", " NAME ", "x NAME ( 'a", "'"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        tell(&w, "objectClasses", broken[i]);
    check_choice(&w, NULL, "dirigo");
    close_world(&w);
    OPEN(&w, "qmail", "ad"); /* by hand: in this order, whatever the server shows */
    check_choice(&w, NULL, "qmail ad dirigo");
    close_world(&w);
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* A profile of the administrator's own; what is wrong with it, without its path. */
static char *load_own(const char *text)
{
    char path[] = "/tmp/dirigo-profile-XXXXXX";
    char *list[] = {path}, *found = NULL;
    struct conf conf = {.schema_directory = (char *)SCHEMA_DIR,
                        .directory_profiles = {.n = 1, .v = list}};
    struct buf errors = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(path, text);
    struct profile_set *set = profile_set_load(&conf, &errors);
    const char *all = buf_str(&errors);
    assert_true((set == NULL) == (*all != '\0'));
    if (strncmp(all, path, strlen(path)) == 0)
        all += strlen(path);
    found = mem_strdup(all);
    if (set != NULL) {
        struct profile_table *t = profile_set_choose(set, &conf, NULL);
        assert_non_null(strstr(profile_table_signature(t), "dirigo-profile-"));
        profile_table_free(&t);
    }
    profile_set_free(&set);
    buf_free(&errors);
    unlink(path);
    return found;
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"attribute mail mail\n# all is well\n  prefix smtp: # goes on\n", ""},
        {"", ""},
        {"\n\nattribut mail mail\n", ":3: \"attribut\" is no statement"},
        {"class x\n", ":1: \"x\" is no mapping"},
        {"class x=y user\n", ":1: \"x=y\" is no mapping"},
        {"class x user boss", ":1: \"boss\" is no kind"},
        {"attribute mail post\n", ":1: \"post\" is no logical attribute"},
        {"attribute mail mail\n prefix\n", ":1: \"prefix\" is no option, or one without its value"},
        {"attribute s accountStatus word x off\n", ":1: \"off\" is no status"},
        {"attribute s accountStatus bit two disabled\n", ":1: \"two\" is no number of a bit"},
        {"attribute s accountStatus letter DD disabled\n", ":1: \"DD\" is more than a letter"},
        {"attribute s mail word x active\n", ":1: \"x\" cannot stand here"},
        {"attribute s quota unit 1x\n", ":1: \"1x\" is no unit"},
        {"attribute s mail unit 1k\n", ":1: \"1k\" is no unit"},
        {"rank many\n", ":1: \"rank\" needs a number"},
        {"detect class\n", ":1: \"detect\" needs pairs"},
        {"detect colour red\n", ":1: \"colour\" cannot be detected"},
        {"attribute m\xff mail\n", ":1: not UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *found = load_own(cases[i].text);
        if (strncmp(found, cases[i].fault, strlen(cases[i].fault)) != 0 ||
            (*cases[i].fault == '\0' && *found != '\0'))
            fail_msg("\"%s\" for \"%s\"", found, cases[i].text);
        free(found);
    }
    struct conf conf = {.schema_directory = (char *)"/nonexistent"};
    struct buf errors = {0};
    assert_null(profile_set_load(&conf, &errors));
    assert_non_null(strstr(buf_str(&errors), "set schema_directory"));
    buf_clear(&errors);
    char *unknown[] = {(char *)"exchange"};
    conf.schema_directory = (char *)SCHEMA_DIR;
    conf.directory_profiles = (struct conf_list){.n = 1, .v = unknown};
    assert_null(profile_set_load(&conf, &errors));
    assert_non_null(strstr(buf_str(&errors), "there is no profile \"exchange\""));
    buf_free(&errors);
}

static void collect(struct profile_parser *p, struct buf *out)
{
    struct profile_statement st;
    while (profile_parser_next(p, &st) > 0) {
        buf_printf(out, "%u:", st.line);
        for (size_t i = 0; i < st.count; i++)
            buf_printf(out, " %s", st.words[i]);
        buf_printf(out, "%s\n", st.fault != NULL ? st.fault : "");
    }
}

static void test_parser(void **state)
{
    (void)state;
    struct buf text = {0}, whole = {0}, bytes = {0};
    buf_append_str(&text, "# comment\r\n\n  first line goes on from nothing\nclass a user #c\n"
                          "attribute b mail\n\t prefix x\n\n # inside\n  class d\nlast one");
    for (int i = 0; i < 70; i++)
        buf_append_str(&text, " w");
    struct profile_parser *p = profile_parser_new();
    profile_parser_push(p, text.data, text.len);
    profile_parser_end(p);
    collect(p, &whole);
    profile_parser_free(&p);
    p = profile_parser_new();
    for (size_t i = 0; i < text.len; i++) {
        profile_parser_push(p, text.data + i, 1);
        collect(p, &bytes);
    }
    profile_parser_end(p);
    collect(p, &bytes);
    profile_parser_free(&p);
    assert_string_equal(buf_str(&whole), buf_str(&bytes));
    assert_string_equal(buf_str(&whole),
                        "3: first line goes on from nothing\n4: class a user\n"
                        "5: attribute b mail prefix x class d\n"
                        "10:too many words; give the attribute a second statement\n");
    buf_free(&text);
    buf_free(&whole);
    buf_free(&bytes);
}

/* What a replica holds is made again from what profile_unmap tells, by any table. */
static void again(void *arg, const char *name, const char *value)
{
    profile_value(arg, name, strlen(name), value, strlen(value));
}

static void test_unmap(void **state)
{
    (void)state;
    struct world w, other;
    OPEN(&w, "ad");
    OPEN(&other, "univention");
    const struct entry *e =
        MAP({"objectClass", "user"}, {"proxyAddresses", "SMTP:a@example.org"},
            {"userAccountControl", "514"}, {"mDBOverHardQuotaLimit", "1"}, {"sAMAccountName", "a"});
    struct entry_draft draft = {0};
    struct profile_entry p;
    profile_begin(&p, other.table, &draft, &other.secrets, entry_uuid(e), entry_dn(e));
    profile_unmap(e, again, &p);
    assert_true(profile_end(&p));
    assert_int_equal(entry_encode(&draft, &other.encoded), 0);
    const struct entry *f = (const struct entry *)other.encoded.data;
    assert_int_equal(entry_all_kinds(f), entry_all_kinds(e));
    CHECK(f, ATTR_MAIL, 0, "a@example.org");
    CHECK(f, ATTR_QUOTA, 0, "1024");
    assert_true(profile_same(w.table, "proxyAddresses", 14, "=mail", 5));
    assert_false(profile_same(w.table, "nothing", 7, "nothing", 7));
    entry_draft_free(&draft);
    close_world(&w);
    close_world(&other);
}

static void check_filter(struct world *w, enum index_kind kind, const char *text, const char *part)
{
    struct index_key key;
    struct buf filter = {0};
    index_key(&key, kind, text, strlen(text));
    assert_int_equal(profile_key_filter(w->table, &key, &filter), 0);
    if (strstr(buf_str(&filter), part) == NULL)
        fail_msg("%s has no %s", buf_str(&filter), part);
    /* Nothing of the text can end an assertion or open one. */
    int depth = 0;
    for (size_t i = 0; i < filter.len; i++) {
        depth += (filter.data[i] == '(') - (filter.data[i] == ')');
        assert_true(depth > 0 || i + 1 == filter.len);
    }
    assert_int_equal(depth, 0);
    buf_free(&filter);
}

/* What finds on a server the entries under a key of the index. */
static void test_key_filters(void **state)
{
    (void)state;
    struct world w;
    struct index_key key;
    struct buf filter = {0};
    char longest[2000];
    OPEN(&w, "dirigo", "lachman", "ad");
    check_filter(&w, INDEX_ADDRESS, "a@example.org", "(mail=a@example.org)");
    check_filter(&w, INDEX_ADDRESS, "a@example.org", "(proxyAddresses=SMTP:a@example.org)");
    check_filter(&w, INDEX_ADDRESS, "a@x", "(&(objectClass=nisMailAlias)(cn=a@x))");
    check_filter(&w, INDEX_ADDRESS, "*)(uid=*\\\xc3\xa4@x",
                 "(mail=\\2a\\29\\28uid=\\2a\\5c\\c3\\a4@x)");
    check_filter(&w, INDEX_NAME, "a(b", "(uid=a\\28b)");
    check_filter(&w, INDEX_MEMBER, "uid=a,dc=x", "(member=uid=a,dc=x)");
    index_key(&key, INDEX_GLOBAL, "", 0);
    assert_int_equal(profile_key_filter(w.table, &key, &filter), -1);
    memset(longest, 'x', sizeof longest);
    index_key(&key, INDEX_ADDRESS, longest, sizeof longest);
    assert_int_equal(profile_key_filter(w.table, &key, &filter), -1);
    buf_clear(&filter);
    profile_frame_filter(w.table, &filter);
    assert_non_null(strstr(buf_str(&filter), "(objectClass=dirigoPolicy)"));
    assert_null(strstr(buf_str(&filter), "inetOrgPerson"));
    buf_free(&filter);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_suites),    cmocka_unit_test(test_active_directory),
        cmocka_unit_test(test_detection), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_parser),    cmocka_unit_test(test_unmap),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_key_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
