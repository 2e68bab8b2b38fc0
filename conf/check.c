/* What a whole configuration must fulfil; see conf_check in conf.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/value.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/str.h"

#define SERVICES "smtp submission submissions lmtp imap imaps pop3 pop3s"

struct check {
    const struct conf *conf;
    struct buf *errors;
    unsigned faults;
};

static void check_fault(struct check *c, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void check_fault(struct check *c, const char *name, const char *fmt, ...)
{
    const char *origin = conf_origin(c->conf, name);
    va_list ap;
    buf_printf(c->errors, "%s: %s: ", strcmp(origin, "default") == 0 ? conf_file(c->conf) : origin,
               name);
    va_start(ap, fmt);
    buf_vprintf(c->errors, fmt, ap);
    va_end(ap);
    buf_append_byte(c->errors, '\n');
    c->faults++;
}

static void check_readable(struct check *c, const char *name, const char *path, const char *remedy)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        check_fault(c, name, "%s cannot be read: %s; %s", path, strerror(errno), remedy);
    else if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        check_fault(c, name, "%s is not a file; %s", path, remedy);
    if (fd >= 0)
        close(fd);
}

/* Every word of a list must be one of words. */
static void check_words(struct check *c, const char *name, const struct conf_list *list,
                        const char *words)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *cursor = words, *token;
        size_t len;
        bool known = false;
        while (!known && str_token(&cursor, " ", &token, &len))
            known = str_is(token, len, list->v[i]);
        if (!known)
            check_fault(c, name, "\"%s\" is unknown; choose from: %s", list->v[i], words);
    }
}

static void check_directory(struct check *c)
{
    const struct conf *conf = c->conf;
    if (*conf->search_base == '\0')
        check_fault(c, "search_base",
                    "is not set; give the DN under which mail entries are, such as "
                    "dc=example,dc=org");
    if (conf->server_host.n == 0 && !conf->embedded_directory)
        check_fault(c, "server_host",
                    "is not set; name an LDAP server such as ldap://ldap.example.org, or set "
                    "embedded_directory = yes");
    for (size_t i = 0; i < conf->server_host.n; i++) {
        const char *uri = conf->server_host.v[i];
        if (strstr(uri, "://") != NULL && !str_istarts(uri, "ldap://") &&
            !str_istarts(uri, "ldaps://") && !str_istarts(uri, "ldapi://"))
            check_fault(c, "server_host",
                        "\"%s\" is no LDAP URI; it must start with ldap://, ldaps:// or ldapi://",
                        uri);
    }
    if (*conf->bind_pw != '\0' && *conf->bind_pw_file != '\0')
        check_fault(c, "bind_pw_file", "is set together with bind_pw; keep one of them");
    else if (*conf->bind_pw_file != '\0')
        check_readable(c, "bind_pw_file", conf->bind_pw_file,
                       "make it a file with the password, readable by root");
    if (*conf->bind_dn != '\0' && *conf->bind_pw == '\0' && *conf->bind_pw_file == '\0')
        check_fault(c, "bind_dn", "has no password; set bind_pw or bind_pw_file");
    if (*conf->tls_ca_cert_file != '\0')
        check_readable(c, "tls_ca_cert_file", conf->tls_ca_cert_file,
                       "give the CA's PEM file, or leave it empty for the system's");
}

/* Whether the files are there; what is in them is for those to check that read them. */
static void check_profiles(struct check *c)
{
    const struct conf_list *list = &c->conf->directory_profiles;
    for (size_t i = 0; i < list->n; i++) {
        const char *word = list->v[i];
        char *path = word[0] == '/'
                         ? mem_strdup(word)
                         : mem_printf("%s/profiles/%s.profile", c->conf->schema_directory, word);
        if (!str_ieq(word, "auto") && access(path, R_OK) < 0)
            check_fault(c, "directory_profiles",
                        "there is no profile \"%s\"; write auto, the name of a file in "
                        "schema_directory/profiles, or the path of one",
                        word);
        free(path);
    }
}

/* Whether a word of alias_maps is one that is understood. */
static bool is_map(const char *word)
{
    static const char *const types[] = {"hash:/", "lmdb:/", "btree:/",   "cdb:/",
                                        "dbm:/",  "sdbm:/", "texthash:/"};
    if (strcmp(word, "directory") == 0)
        return true;
    word += str_istarts(word, "proxy:") ? strlen("proxy:") : 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strncmp(word, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

static void check_maps(struct check *c)
{
    const struct conf_list *aliases = &c->conf->alias_maps;
    for (size_t i = 0; i < aliases->n; i++)
        if (!is_map(aliases->v[i]))
            check_fault(c, "alias_maps", "\"%s\" is no map; give directory or hash:/etc/aliases",
                        aliases->v[i]);
}

static void check_tls(struct check *c)
{
    const struct conf *conf = c->conf;
    struct {
        const char *name, *path;
        bool key;
    } files[] = {
        {"ssl_cert", conf->ssl_cert, false},
        {"ssl_key", conf->ssl_key, true},
        {"smtpd_tls_cert_file", conf->smtpd_tls_cert_file, false},
        {"smtpd_tls_key_file", conf->smtpd_tls_key_file, true},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        /* The SMTP pair is the common one by default: one fault is enough. */
        if (i >= 2 && strcmp(files[i].path, files[i - 2].path) == 0)
            continue;
        check_readable(c, files[i].name, files[i].path,
                       files[i].key ? "give the PEM file of the private key"
                                    : "give the PEM file of this host's certificate chain");
    }
}

struct check_port {
    const char *service, *parameter;
    int64_t port;
};

static void check_ports(struct check *c)
{
    const struct conf *conf = c->conf;
    const struct check_port all[] = {
        {"smtp", "port_smtp", conf->port_smtp},
        {"submission", "port_submission", conf->port_submission},
        {"submissions", "port_submissions", conf->port_submissions},
        {"lmtp", "port_lmtp", conf->port_lmtp},
        {"imap", "port_imap", conf->port_imap},
        {"imaps", "port_imaps", conf->port_imaps},
        {"pop3", "port_pop3", conf->port_pop3},
        {"pop3s", "port_pop3s", conf->port_pop3s},
    };
    const struct check_port *used[sizeof(all) / sizeof(*all)];
    size_t n = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        bool on = false;
        for (size_t j = 0; j < conf->protocols.n && !on; j++)
            on = str_ieq(conf->protocols.v[j], all[i].service);
        if (!on)
            continue;
        for (size_t j = 0; j < n; j++) {
            if (used[j]->port == all[i].port)
                check_fault(c, all[i].parameter, "is the port of %s too; choose another one",
                            used[j]->service);
        }
        used[n++] = &all[i];
    }
}

static void check_networks(struct check *c, const char *name, const struct conf_list *list)
{
    struct netaddr_prefix prefix;
    for (size_t i = 0; i < list->n; i++)
        if (netaddr_prefix_parse(&prefix, list->v[i]) < 0)
            check_fault(c, name,
                        "\"%s\" is no network; write 192.0.2.0/24 or [2001:db8::]/32, with no bit "
                        "set behind the prefix",
                        list->v[i]);
}

static void check_network(struct check *c)
{
    const struct conf *conf = c->conf;
    check_words(c, "protocols", &conf->protocols, SERVICES);
    if (conf->protocols.n == 0)
        check_fault(c, "protocols", "is empty; name at least one service, such as smtp");
    if (conf->inet_interfaces.n == 0)
        check_fault(c, "inet_interfaces", "is empty; write all, loopback-only, or addresses");
    for (size_t i = 0; i < conf->inet_interfaces.n; i++) {
        const char *word = conf->inet_interfaces.v[i];
        struct netaddr addr;
        if (!str_ieq(word, "all") && !str_ieq(word, "loopback-only") &&
            netaddr_parse(&addr, word) < 0)
            check_fault(c, "inet_interfaces",
                        "\"%s\" is no IP address; write all, loopback-only, or addresses", word);
    }
    check_networks(c, "mynetworks", &conf->mynetworks);
    check_networks(c, "auth_allow_networks", &conf->auth_allow_networks);
    check_networks(c, "haproxy_trusted_networks", &conf->haproxy_trusted_networks);
    check_networks(c, "smtpd_authorized_xclient_hosts", &conf->smtpd_authorized_xclient_hosts);
    check_words(c, "haproxy_protocols", &conf->haproxy_protocols, SERVICES);
    struct netaddr source;
    if (*conf->smtp_bind_address != '\0' &&
        (netaddr_parse(&source, conf->smtp_bind_address) < 0 || source.family != 4))
        check_fault(c, "smtp_bind_address", "is no IPv4 address; write one, or leave it empty");
    check_ports(c);
}

/* ADDRESS[@PORT], and #NAME where tls is set. */
static bool is_name_server(const char *server, bool tls)
{
    struct netaddr addr;
    uint64_t port = 53;
    size_t end = strcspn(server, "#"), len = strcspn(server, "@#");
    char *text = mem_strndup(server, len);
    bool ok = netaddr_parse(&addr, text) == 0 &&
              (len == end ||
               (str_uint(server + len + 1, end - len - 1, 65535, &port) == 0 && port > 0)) &&
              (server[end] == '\0' || (tls && server[end + 1] != '\0'));
    free(text);
    return ok;
}

static void check_zones(struct check *c, const char *name, const struct conf_list *list, bool tls)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *equals = strchr(list->v[i], '=');
        if (equals == NULL || equals == list->v[i] || !is_name_server(equals + 1, tls))
            check_fault(c, name, "\"%s\" is no zone; write ZONE=ADDRESS or ZONE=ADDRESS@PORT%s",
                        list->v[i], tls ? ", and #NAME behind it for TLS" : "");
    }
}

/* Letters, digits, hyphens and dots, as names of hosts and domains have; underscores are met, too.
 */
static bool is_host_name(const char *s, size_t len)
{
    if (len == 0 || len > 255 || s[0] == '.' || s[0] == '-' || s[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(s[i] >= '0' && s[i] <= '9') &&
            !(str_lower_char(s[i]) >= 'a' && str_lower_char(s[i]) <= 'z') && s[i] != '-' &&
            s[i] != '_' && (s[i] != '.' || s[i + 1] == '.'))
            return false;
    return true;
}

static void check_names(struct check *c)
{
    const struct conf *conf = c->conf;
    const char *const hosts[][2] = {
        {"myhostname", conf->myhostname},
        {"mydomain", conf->mydomain},
        {"myorigin", conf->myorigin},
        {"smtp_helo_name", conf->smtp_helo_name},
    };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        /* An address literal is what a host without a name greets with. */
        if (i == 3 && hosts[i][1][0] == '[')
            continue;
        if (!is_host_name(hosts[i][1], strlen(hosts[i][1])))
            check_fault(c, hosts[i][0], "\"%s\" is no host name; write one such as mx.example.org",
                        hosts[i][1]);
    }
    if (*conf->search_base != '\0' && strchr(conf->search_base, '=') == NULL)
        check_fault(c, "search_base", "\"%s\" is no DN; write one such as dc=example,dc=org",
                    conf->search_base);
    if (strpbrk(conf->recipient_delimiter, "@ \t\"<>,") != NULL)
        check_fault(c, "recipient_delimiter",
                    "\"%s\" has a character that addresses use themselves; write + or -",
                    conf->recipient_delimiter);
}

/* HOST or [HOST], then an optional :PORT. */
static void check_relayhost(struct check *c)
{
    const char *s = c->conf->relayhost;
    bool literal = *s == '[', good;
    uint64_t port = 25;
    struct netaddr addr;
    if (*s == '\0')
        return;
    s += literal;
    size_t len = strcspn(s, literal ? "]" : ":");
    const char *rest = s + len + (literal && s[len] == ']');
    char *host = mem_strndup(s, len);
    good = is_host_name(host, len) || (literal && netaddr_parse(&addr, host) == 0);
    good = good && (!literal || s[len] == ']');
    if (*rest != '\0')
        good = good && *rest == ':' && str_uint(rest + 1, strlen(rest + 1), 65535, &port) == 0 &&
               port > 0;
    if (!good)
        check_fault(c, "relayhost", "\"%s\" is no host; write HOST, [HOST] or [HOST]:PORT",
                    c->conf->relayhost);
    free(host);
}

static void check_tokens(struct check *c)
{
    const struct conf *conf = c->conf;
    const char *url = conf->oauth2_introspection_url;
    bool offered = false;
    for (size_t i = 0; i < conf->auth_mechanisms.n; i++)
        offered = offered || str_ieq(conf->auth_mechanisms.v[i], "oauthbearer") ||
                  str_ieq(conf->auth_mechanisms.v[i], "xoauth2");
    if (offered && *conf->oauth2_jwks_file == '\0' && *url == '\0')
        check_fault(c, "auth_mechanisms",
                    "offers access tokens, which nothing can verify; set oauth2_jwks_file or "
                    "oauth2_introspection_url");
    if (*url != '\0' && !str_istarts(url, "https://") && !str_istarts(url, "http://127.0.0.1") &&
        !str_istarts(url, "http://[::1]"))
        check_fault(c, "oauth2_introspection_url",
                    "\"%s\" would send tokens in clear text; write https://", url);
}

static void check_logins(struct check *c)
{
    const struct conf *conf = c->conf;
    check_words(c, "auth_mechanisms", &conf->auth_mechanisms,
                "plain login scram-sha-1 scram-sha-256 scram-sha-512 external gssapi oauthbearer "
                "xoauth2 cram-md5");
    check_tokens(c);
    check_words(c, "auth_ssl_cert_map", &conf->auth_ssl_cert_map, "certificate san dn rule");
    if (*conf->ssl_cert_dn_rule != '\0' && strstr(conf->ssl_cert_dn_rule, "=%u") == NULL)
        check_fault(c, "ssl_cert_dn_rule",
                    "\"%s\" does not say where the name is; write %%u for one value, such as "
                    "CN=%%u,O=Example",
                    conf->ssl_cert_dn_rule);
    if (*conf->auth_admin_group != '\0' && strchr(conf->auth_admin_group, '=') == NULL)
        check_fault(c, "auth_admin_group", "\"%s\" is no DN; write the DN of a group",
                    conf->auth_admin_group);
}

static void check_rest(struct check *c)
{
    const struct conf *conf = c->conf;
    check_names(c);
    check_relayhost(c);
    check_logins(c);
    if (!str_istarts(conf->smtpd_banner, conf->myhostname))
        check_fault(c, "smtpd_banner",
                    "does not begin with %s, as RFC 5321 section 4.2 wants; begin it with "
                    "$myhostname",
                    conf->myhostname);
    if (conf->minimal_backoff_time > conf->maximal_backoff_time)
        check_fault(c, "minimal_backoff_time",
                    "is longer than maximal_backoff_time; make it at most as long");
    if (*conf->resolver_trust_anchor_file != '\0')
        check_readable(c, "resolver_trust_anchor_file", conf->resolver_trust_anchor_file,
                       "install the package dns-root-data, or leave it empty for no validation");
    check_zones(c, "resolver_forward_zones", &conf->resolver_forward_zones, true);
    check_zones(c, "resolver_stub_zones", &conf->resolver_stub_zones, false);

    /* Unix sockets are named in 107 characters. */
    if (strlen(conf->run_directory) + strlen("/mailbox-63.sock") > 107)
        check_fault(c, "run_directory",
                    "is too long for the sockets in it; choose a path of at most 91 characters");
    if (conf->embedded_directory && strlen(conf->state_directory) + strlen("/slapd/ldapi") > 107)
        check_fault(c, "state_directory",
                    "is too long for the embedded directory's socket; choose a path of at most 95 "
                    "characters");

    const char *const folders[][2] = {
        {"state_directory", conf->state_directory},
        {"run_directory", conf->run_directory},
        {"mail_directory", conf->mail_directory},
        {"daemon_directory", conf->daemon_directory},
    };
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        if (folders[i][1][0] == '\0')
            check_fault(c, folders[i][0], "is empty; give the path of a folder");
    }
}

int conf_check(const struct conf *conf, struct buf *errors)
{
    struct check c = {.conf = conf, .errors = errors};
    check_directory(&c);
    check_profiles(&c);
    check_maps(&c);
    check_network(&c);
    check_tls(&c);
    check_rest(&c);
    int rc = conf_directories_check(conf, errors);
    return c.faults == 0 ? rc : -1;
}
