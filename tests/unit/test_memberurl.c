#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "directory/memberurl.h"

static struct memberurl u;

static void good(const char *text, const char *base, enum memberurl_scope scope, const char *filter)
{
    const char *why = memberurl_parse(&u, text);
    if (why != NULL)
        fail_msg("%s: %s", text, why);
    assert_string_equal(u.base, base);
    assert_int_equal(u.scope, scope);
    assert_string_equal(u.filter, filter);
}

static void bad(const char *text)
{
    if (memberurl_parse(&u, text) == NULL)
        fail_msg("%s was taken", text);
}

static void test_good(void **state)
{
    (void)state;
    good("ldap:///dc=example,dc=org??sub?(ou=x)", "dc=example,dc=org", MEMBERURL_SUB, "(ou=x)");
    good("LDAP:///o=a?cn,mail?ONE?(&(a=b)(!(c=d\\2a)))", "o=a", MEMBERURL_ONE,
         "(&(a=b)(!(c=d\\2a)))");
    good("ldap:///o=a", "o=a", MEMBERURL_BASE, "(objectClass=*)");
    good("ldap:///", "", MEMBERURL_BASE, "(objectClass=*)");
    good("ldap:///o=a???", "o=a", MEMBERURL_BASE, "(objectClass=*)");
    good("ldap:///o=What%3f%20Ltd??sub?(cn=100%25)", "o=What? Ltd", MEMBERURL_SUB, "(cn=100%)");
    good("ldap:///o=a??base?(cn=x)?x-hint=1", "o=a", MEMBERURL_BASE, "(cn=x)");
    good("ldap:///o=M%C3%BCller??sub", "o=M\xc3\xbcller", MEMBERURL_SUB, "(objectClass=*)");
}

static void test_bad(void **state)
{
    (void)state;
    bad("");
    bad("ldap:/");
    bad("ldap://");
    bad("ldaps:///o=a");
    bad("ldap://host/o=a??sub");
    bad("ldap:///nonsense??sub");
    bad("ldap:///o=a??subtree");
    bad("ldap:///o=a??children?(a=b)");
    bad("ldap:///o=a??sub?(a=%0)");
    bad("ldap:///o=a??sub?(a=%zz)");
    bad("ldap:///o=a??sub?(a=%00)");
    bad("ldap:///o=a??sub?(a=%0a)");
    bad("ldap:///o=a??sub?(a=b)\n");
    bad("ldap:///o=a??sub?(a=b)?!critical");
    bad("ldap:///o=a??sub?(a=b)?x,!critical=1");
    bad("ldap:///o=a??sub?(a=b)?x?y");
}

static void test_bounds(void **state)
{
    char text[3 * MEMBERURL_FILTER_MAX];
    (void)state;
    strcpy(text, "ldap:///o=a??sub?");
    size_t len = strlen(text);
    memset(text + len, 'a', MEMBERURL_FILTER_MAX - 1);
    text[len + MEMBERURL_FILTER_MAX - 1] = '\0';
    assert_null(memberurl_parse(&u, text));
    strcat(text, "a");
    bad(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests_name("memberurl", tests, NULL, NULL);
}
