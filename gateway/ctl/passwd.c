/* dirigo passwd: values of authPassword and userPassword for a password, or the LDIF that sets
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <readpassphrase.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"
#include "gateway/ctl/keys.h"

/* Longer ones nobody can log in with. */
#define PASSWORD_LEN_MAX 1024
#define SCHEMES_MAX      16
#define ITERATIONS_MIN   4096 /* RFC 7677 section 4 */
#define ITERATIONS_MAX   10000000

struct passwd {
    const struct command_context *ctx;
    struct conf *conf; /* NULL: it cannot be read, and need not be */
    const char *file;  /* NULL: ask at the terminal; "-": standard input */
    const char *dn, *login;
    const char *app;      /* the name of an app password below the entry; NULL: it is the entry's */
    const char *services; /* that it is for, or NULL */
    const struct key_scheme *schemes[SCHEMES_MAX];
    size_t count;
    unsigned iterations;
    char password[PASSWORD_LEN_MAX + 2];
};

/* ---- the password ---- */

/* The first line of a file. */
static int read_file(struct passwd *p)
{
    bool input = strcmp(p->file, "-") == 0;
    int fd = input ? STDIN_FILENO : open(p->file, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;
    if (fd < 0)
        return command_error("%s: %s", p->file, strerror(errno));
    while (len < sizeof(p->password) - 1 && memchr(p->password, '\n', len) == NULL) {
        n = read(fd, p->password + len, sizeof(p->password) - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (!input)
        close(fd);
    if (n < 0)
        return command_error("%s: %s", p->file, strerror(errno));
    if (memchr(p->password, '\0', len) != NULL)
        return command_error("the password has a NUL in it");
    p->password[len] = '\0';
    p->password[strcspn(p->password, "\r\n")] = '\0';
    return 0;
}

static int ask(struct passwd *p)
{
    char again[sizeof(p->password)];
    int rc = 0;
    if (readpassphrase("New password: ", p->password, sizeof(p->password), RPP_REQUIRE_TTY) ==
            NULL ||
        readpassphrase("The same again: ", again, sizeof(again), RPP_REQUIRE_TTY) == NULL)
        rc = command_error("no terminal to ask at; give the password with --file, or --file - for "
                           "standard input");
    else if (strcmp(p->password, again) != 0)
        rc = command_error("the two are not the same");
    explicit_bzero(again, sizeof(again));
    return rc;
}

/* For a program, which has no trouble with remembering it: 100 bits. */
static void make_random(struct passwd *p)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    char *out = p->password;
    for (int i = 0; i < 20; i++) {
        if (i > 0 && i % 5 == 0)
            *out++ = '-';
        *out++ = letters[arc4random_uniform(sizeof(letters) - 1)];
    }
    *out = '\0';
}

static int get_password(struct passwd *p)
{
    if (p->app != NULL) {
        make_random(p);
        return 0;
    }
    int rc = p->file != NULL ? read_file(p) : ask(p);
    size_t len = strlen(p->password);
    if (rc != 0)
        return rc;
    if (len == 0)
        return command_error("the password is empty, which no login takes");
    if (len > PASSWORD_LEN_MAX)
        return command_error("the password is longer than %d bytes, which no login takes",
                             PASSWORD_LEN_MAX);
    if (!str_utf8_valid(p->password, len))
        return command_error("the password is not UTF-8, in which clients send it");
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)p->password[i] >= 0x80) {
            fputs("dirigo: the password is not ASCII; it is used as it is, without the "
                  "preparation of RFC 4013\n",
                  stderr);
            break;
        }
    }
    return 0;
}

/* ---- where it goes ---- */

static int find_dn(struct passwd *p, char **dn)
{
    const struct entry *e;
    struct directory *d = answer_open(p->ctx);
    if (d == NULL)
        return COMMAND_UNAVAILABLE;
    struct snapshot *snap = snapshot_take(d);
    enum answer answer = snap == NULL ? ANSWER_UNKNOWN : entry_by_login(snap, p->login, &e);
    if (answer == ANSWER_FOUND)
        *dn = mem_strdup(entry_dn(e));
    snapshot_release(&snap);
    directory_close(&d);
    if (answer == ANSWER_FOUND)
        return COMMAND_OK;
    return command_error(answer == ANSWER_ABSENT
                             ? "%s: no such login"
                             : "%s: the replica cannot say which entry that is; give --dn",
                         p->login);
}

/* A line of LDIF; what is no SAFE-STRING (RFC 2849) goes in base64. */
static void put_line(struct buf *out, const char *name, const char *value)
{
    size_t len = strlen(value);
    bool safe = len > 0 && strchr(" :<", value[0]) == NULL && value[len - 1] != ' ';
    for (size_t i = 0; i < len; i++)
        safe = safe && value[i] >= ' ' && value[i] != 0x7f;
    (void)buf_printf(out, safe ? "%s: " : "%s:: ", name);
    if (safe)
        (void)buf_append_str(out, value);
    else
        (void)str_base64_encode(out, value, len);
    (void)buf_append_byte(out, '\n');
}

/* All values of one attribute, below "replace" where they go to an entry. */
static int put_attribute(struct passwd *p, const char *attribute, struct buf *out)
{
    struct buf value = {0};
    bool any = false;
    int rc = 0;
    for (size_t i = 0; i < p->count && rc == 0; i++) {
        if (strcmp(key_attribute(p->schemes[i]), attribute) != 0)
            continue;
        if (!any && p->dn != NULL)
            (void)buf_printf(out, "replace: %s\n", attribute);
        any = true;
        rc = key_make(p->schemes[i], p->password, p->iterations, &value);
        if (rc == 0)
            put_line(out, attribute, buf_str(&value));
    }
    if (any && p->dn != NULL)
        (void)buf_append_str(out, "-\n");
    buf_wipe_free(&value);
    return rc;
}

static int put_values(struct passwd *p)
{
    struct buf out = {0};
    if (p->dn != NULL) {
        put_line(&out, "dn", p->dn);
        (void)buf_append_str(&out, "changetype: modify\n");
    }
    if (put_attribute(p, "authPassword", &out) != 0 ||
        put_attribute(p, "userPassword", &out) != 0) {
        buf_wipe_free(&out);
        return command_error("a value cannot be made: the library for it fails");
    }
    return command_print(&out);
}

/* An entry below the user's; the password itself is for the user's eyes, not for the file. */
static int put_app_password(struct passwd *p)
{
    struct buf out = {0}, value = {0}, dn = {0};
    const char *services = p->services != NULL ? p->services : "", *word;
    size_t len;
    if (key_make(key_scheme("sha256", strlen("sha256")), p->password, 0, &value) != 0)
        return command_error("a value cannot be made: the library for it fails");
    (void)buf_printf(&dn, "cn=%s,%s", p->app, p->dn);
    put_line(&out, "dn", buf_str(&dn));
    (void)buf_append_str(&out, "changetype: add\nobjectClass: dirigoAppPassword\n");
    put_line(&out, "cn", p->app);
    while (str_token(&services, ", ", &word, &len))
        (void)buf_printf(&out, "dirigoService: %.*s\n", (int)len, word);
    put_line(&out, "authPassword", buf_str(&value));
    fprintf(stderr, "password: %s\n", p->password);
    buf_free(&dn);
    buf_free(&value);
    return command_print(&out);
}

/* Of names without what LDIF and DNs would need escaped. */
static bool is_app_name(const char *s)
{
    return *s != '\0' && strlen(s) <= 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               strlen(s);
}

static bool are_services(const char *list)
{
    const char *word;
    size_t len;
    while (str_token(&list, ", ", &word, &len))
        if (!str_is(word, len, "smtp") && !str_is(word, len, "imap") && !str_is(word, len, "pop3"))
            return false;
    return true;
}

/* ---- the command line ---- */

static int add_schemes(struct passwd *p, const char *list)
{
    const char *word;
    size_t len;
    while (str_token(&list, ", ", &word, &len)) {
        const struct key_scheme *s = key_scheme(word, len);
        if (s == NULL || p->count == SCHEMES_MAX)
            return command_error("%.*s: write " KEY_SCHEMES, (int)len, word);
        p->schemes[p->count++] = s;
    }
    return 0;
}

/* What the file of parameters says matters, but for a name that is looked up it need not be there.
 */
static int use_conf(struct passwd *p, struct command_context *ctx)
{
    struct buf errors = {0};
    p->conf = conf_load(ctx->conf_path, ctx->overrides, &errors);
    ctx->conf = p->conf;
    if (p->conf == NULL && p->login != NULL)
        fputs(buf_str(&errors), stderr);
    buf_free(&errors);
    if (p->conf == NULL)
        return p->login != NULL ? COMMAND_FAILED : COMMAND_OK;
    if (p->iterations == 0 && p->conf->auth_scram_iterations >= ITERATIONS_MIN)
        p->iterations = (unsigned)p->conf->auth_scram_iterations;
    return COMMAND_OK;
}

static int parse(struct passwd *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"dn", required_argument, NULL, 'd'},
        {"file", required_argument, NULL, 'f'},
        {"scheme", required_argument, NULL, 's'},
        {"iterations", required_argument, NULL, 'i'},
        {"app", required_argument, NULL, 'a'},
        {"service", required_argument, NULL, 'S'},
        {NULL, 0, NULL, 0},
    };
    uint64_t n;
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "-", options, NULL)) != -1) {
        if (option == 'd') {
            p->dn = optarg;
        } else if (option == 'f') {
            p->file = optarg;
        } else if (option == 's') {
            if (add_schemes(p, optarg) != 0)
                return COMMAND_FAILED;
        } else if (option == 'i') {
            if (str_uint(optarg, strlen(optarg), ITERATIONS_MAX, &n) != 0 || n < ITERATIONS_MIN)
                return command_error("--iterations: write a number from %d to %d", ITERATIONS_MIN,
                                     ITERATIONS_MAX);
            p->iterations = (unsigned)n;
        } else if (option == 'a') {
            p->app = optarg;
            if (!is_app_name(optarg))
                return command_error("--app: write a name of letters, digits, - _ and .");
        } else if (option == 'S') {
            p->services = optarg;
            if (!are_services(optarg))
                return command_error("--service: write smtp, imap or pop3");
        } else if (option == 1 && p->login == NULL) {
            p->login = optarg;
        } else {
            return command_usage(&command_passwd);
        }
    }
    return p->dn != NULL && p->login != NULL ? command_usage(&command_passwd) : COMMAND_OK;
}

static int run(const struct command_context *context, int argc, char **argv)
{
    struct command_context ctx = *context;
    struct passwd *p = mem_zalloc(sizeof(*p));
    char *dn = NULL;
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none); /* the password shall not end in a file */
    p->ctx = &ctx;
    int rc = parse(p, argc, argv);
    if (rc == COMMAND_OK)
        rc = use_conf(p, &ctx);
    if (rc == COMMAND_OK && p->count == 0)
        rc = add_schemes(p, "scram-sha-256, ssha");
    if (p->iterations == 0)
        p->iterations = ITERATIONS_MIN;
    if (rc == COMMAND_OK && p->login != NULL)
        rc = find_dn(p, &dn);
    if (dn != NULL)
        p->dn = dn;
    if (rc == COMMAND_OK && p->app != NULL && p->dn == NULL)
        rc = command_error("--app: whose? Give a login, or --dn");
    if (rc == COMMAND_OK)
        rc = get_password(p);
    if (rc == COMMAND_OK)
        rc = p->app != NULL ? put_app_password(p) : put_values(p);
    free(dn);
    conf_free(&p->conf);
    mem_wipe_free(p, sizeof(*p));
    return rc;
}

const struct command command_passwd = {
    .name = "passwd",
    .args = "[--file file] [--scheme scheme,...] [--iterations n] [--app name] "
            "[--service service,...] [--dn DN | login]",
    .help = "make the values of authPassword and userPassword for a password, or LDIF",
    .run = run,
};
