/* DNS responses, made by hand: chains, compression, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/dns.h"

static void put_u16(struct buf *b, unsigned v)
{
    buf_append_byte(b, (unsigned char)(v >> 8));
    buf_append_byte(b, (unsigned char)v);
}

/* A name without compression, from dotted text. */
static void put_name(struct buf *b, const char *name)
{
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        buf_append_byte(b, (unsigned char)len);
        buf_append(b, name, len);
        name += len + (name[len] == '.');
    }
    buf_append_byte(b, 0);
}

static void put_head(struct buf *b, unsigned flags, unsigned answers, const char *name,
                     unsigned type)
{
    put_u16(b, 4711);
    put_u16(b, flags);
    put_u16(b, 1);
    put_u16(b, answers);
    put_u16(b, 0);
    put_u16(b, 0);
    put_name(b, name);
    put_u16(b, type);
    put_u16(b, 1);
}

/* Type, class, TTL 300 and rdata behind an owner that the caller has put. */
static void put_rr_tail(struct buf *b, unsigned type, const void *rdata, size_t len)
{
    put_u16(b, type);
    put_u16(b, 1);
    put_u16(b, 0);
    put_u16(b, 300);
    put_u16(b, (unsigned)len);
    buf_append(b, rdata, len);
}

static void put_rr(struct buf *b, const char *owner, unsigned type, const void *rdata, size_t len)
{
    put_name(b, owner);
    put_rr_tail(b, type, rdata, len);
}

static int parse(const struct buf *b, struct arena *arena, struct dns_message *out)
{
    arena_reset(arena);
    return dns_parse(b->data, b->len, arena, out);
}

static void test_mx_with_pointers(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 16);
    struct buf b = {0};
    struct dns_message m;

    put_head(&b, 0x8180, 2, "Example.COM", DNS_TYPE_MX);
    buf_append(&b, "\xc0\x0c", 2);
    put_rr_tail(&b, DNS_TYPE_MX, "\0\x14\2mX\xc0\x0c", 7);
    buf_append(&b, "\xc0\x0c", 2);
    put_rr_tail(&b, DNS_TYPE_MX, "\0\0\0", 3);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_string_equal(m.qname, "example.com");
    assert_int_equal(m.qtype, DNS_TYPE_MX);
    assert_int_equal(m.rcode, 0);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.records[0].preference, 20);
    assert_int_equal(m.records[0].ttl, 300);
    assert_string_equal(m.records[0].name, "mx.example.com");
    assert_string_equal(m.records[1].name, "");
    /* Cut anywhere, it is malformed and nothing is read past its end. */
    for (size_t len = 0; len < b.len; len++) {
        struct buf cut = {0};
        buf_append(&cut, b.data, len);
        assert_int_equal(parse(&cut, arena, &m), -1);
        buf_free(&cut);
    }
    buf_free(&b);
    arena_free(&arena);
}

static void test_cname_chain_in_any_order(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 16);
    struct buf b = {0};
    struct dns_message m;

    put_head(&b, 0x8180, 4, "a.test", DNS_TYPE_A);
    put_rr(&b, "C.test", DNS_TYPE_A, "\x7f\0\0\1", 4);
    put_rr(&b, "b.test", DNS_TYPE_CNAME, "\1c\4test", 8);
    put_rr(&b, "other.test", DNS_TYPE_A, "\x7f\0\0\2", 4);
    put_rr(&b, "a.test", DNS_TYPE_CNAME, "\1B\4test", 8);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.records[0].len, 4);
    assert_memory_equal(m.records[0].data, "\x7f\0\0\1", 4);
    /* Asked for the CNAME itself, the chain is not followed. */
    buf_clear(&b);
    put_head(&b, 0x8180, 1, "a.test", DNS_TYPE_CNAME);
    put_rr(&b, "a.test", DNS_TYPE_CNAME, "\1b\4test", 8);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_int_equal(m.count, 1);
    assert_string_equal(m.records[0].name, "b.test");
    /* A chain that leads nowhere is no data. */
    buf_clear(&b);
    put_head(&b, 0x8180, 1, "a.test", DNS_TYPE_A);
    put_rr(&b, "a.test", DNS_TYPE_CNAME, "\1b\4test", 8);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_int_equal(m.count, 0);
    /* A loop is refused. */
    buf_clear(&b);
    put_head(&b, 0x8180, 2, "a.test", DNS_TYPE_A);
    put_rr(&b, "a.test", DNS_TYPE_CNAME, "\1b\4test", 8);
    put_rr(&b, "b.test", DNS_TYPE_CNAME, "\1a\4test", 8);
    assert_int_equal(parse(&b, arena, &m), -1);
    buf_free(&b);
    arena_free(&arena);
}

static void test_txt_and_escapes(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 16);
    struct buf b = {0};
    struct dns_message m;

    put_head(&b, 0x8180, 1, "x y.test", DNS_TYPE_TXT);
    put_rr(&b, "x y.test", DNS_TYPE_TXT, "\3v=s\0\5pf1 -", 11);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_string_equal(m.qname, "x\\032y.test");
    assert_int_equal(m.count, 1);
    assert_int_equal(m.records[0].len, 8);
    assert_memory_equal(m.records[0].data, "v=spf1 -", 8);
    buf_clear(&b);
    put_head(&b, 0x8180, 1, "y.test", DNS_TYPE_TXT);
    put_rr(&b, "y.test", DNS_TYPE_TXT, "\4v=s", 4);
    assert_int_equal(parse(&b, arena, &m), -1);
    buf_free(&b);
    arena_free(&arena);
}

static void test_rcode_and_header(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 16);
    struct buf b = {0};
    struct dns_message m;

    put_head(&b, 0x8183, 0, "no.test", DNS_TYPE_A);
    assert_int_equal(parse(&b, arena, &m), 0);
    assert_int_equal(m.rcode, 3);
    assert_int_equal(m.count, 0);
    b.data[2] = 0x01; /* a query */
    assert_int_equal(parse(&b, arena, &m), -1);
    b.data[2] = 0x83; /* truncated */
    assert_int_equal(parse(&b, arena, &m), -1);
    b.data[2] = 0x81;
    b.data[5] = 2; /* two questions */
    assert_int_equal(parse(&b, arena, &m), -1);
    buf_free(&b);
    arena_free(&arena);
}

static void test_bad_names(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 16);
    struct buf b = {0};
    struct dns_message m;
    /* A pointer to itself, forward, into the header, a reserved label type. */
    const char *const owners[] = {"\xc0\x18", "\xc0\x30", "\xc0\x04", "\x80\x01"};

    for (size_t i = 0; i < 4; i++) {
        buf_clear(&b);
        put_head(&b, 0x8180, 1, "a.test", DNS_TYPE_A);
        assert_int_equal(b.len, 24);
        buf_append(&b, owners[i], 2);
        put_rr_tail(&b, DNS_TYPE_A, "\x7f\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        assert_int_equal(parse(&b, arena, &m), -1);
    }
    /* Two pointers that lead to each other. */
    buf_clear(&b);
    put_head(&b, 0x8180, 2, "a.test", DNS_TYPE_A);
    buf_append(&b, "\1x\xc0\x28", 4);
    put_rr_tail(&b, DNS_TYPE_A, "\x7f\0\0\1", 4);
    buf_append(&b, "\xc0\x18", 2);
    put_rr_tail(&b, DNS_TYPE_A, "\x7f\0\0\1", 4);
    assert_int_equal(parse(&b, arena, &m), -1);
    /* 255 octets are a name, and every one of them may need an escape; 256 are none. */
    for (int labels = 0; labels < 2; labels++) {
        char name[300];
        memset(name, 1, sizeof(name));
        for (int i = 63; i < 255; i += 64)
            name[i] = '.';
        name[253 + labels] = '\0';
        buf_clear(&b);
        put_head(&b, 0x8180, 0, name, DNS_TYPE_A);
        assert_int_equal(parse(&b, arena, &m), labels == 0 ? 0 : -1);
        if (labels == 0)
            assert_true(strlen(m.qname) < DNS_NAME_MAX);
    }
    buf_free(&b);
    arena_free(&arena);
}

static void test_bounds(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20), *small = arena_new(128);
    struct buf b = {0};
    struct dns_message m;

    for (unsigned n = DNS_RECORDS_MAX; n <= DNS_RECORDS_MAX + 1; n++) {
        buf_clear(&b);
        put_head(&b, 0x8180, n, "a.test", DNS_TYPE_A);
        for (unsigned i = 0; i < n; i++)
            put_rr(&b, "a.test", DNS_TYPE_A, "\x7f\0\0\1", 4);
        assert_int_equal(parse(&b, arena, &m), n == DNS_RECORDS_MAX ? 0 : -1);
    }
    assert_int_equal(parse(&b, small, &m), -1);
    /* Addresses and TLSA of the wrong length. */
    static const struct {
        unsigned type;
        size_t len;
    } bad[] = {{DNS_TYPE_A, 5}, {DNS_TYPE_AAAA, 4}, {DNS_TYPE_TLSA, 3}, {DNS_TYPE_MX, 2}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        buf_clear(&b);
        put_head(&b, 0x8180, 1, "a.test", bad[i].type);
        put_rr(&b, "a.test", bad[i].type, "\0\0\0\0\0", bad[i].len);
        assert_int_equal(parse(&b, arena, &m), -1);
    }
    buf_free(&b);
    arena_free(&arena);
    arena_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mx_with_pointers), cmocka_unit_test(test_cname_chain_in_any_order),
        cmocka_unit_test(test_txt_and_escapes),  cmocka_unit_test(test_rcode_and_header),
        cmocka_unit_test(test_bad_names),        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
