/* What a policy service is told (Postfix's SMTPD_POLICY_README names the attributes). */
#include <inttypes.h>

#include "gateway/smtp/evaluate.h"

/* A value is one line: what would end it becomes '?'. */
static void put(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=", name);
    for (const char *p = value != NULL ? value : ""; *p != '\0'; p++)
        buf_append_byte(out, (unsigned char)*p < ' ' || *p == 0x7f ? '?' : (unsigned char)*p);
    buf_append_byte(out, '\n');
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "%s=%" PRIu64 "\n", name, value);
}

static const char *protocol_state(const struct restriction_facts *f, enum restriction_stage stage)
{
    if (stage == STAGE_ETRN)
        return "ETRN";
    if (stage >= STAGE_DATA)
        return stage == STAGE_DATA ? "DATA" : "END-OF-MESSAGE";
    if (f->recipient.given != NULL)
        return "RCPT";
    if (f->sender.given != NULL)
        return "MAIL";
    return f->helo != NULL ? "EHLO" : "CONNECT";
}

static const char *client_name(enum client_name_state state, const char *name)
{
    return state == CLIENT_NAME_FOUND ? name : "unknown";
}

void policy_request(const struct restriction_facts *f, enum restriction_stage stage,
                    struct buf *out)
{
    const struct restriction_certificate *c = f->certificate;
    char addr[NETADDR_STRLEN];

    buf_append_str(out, "request=smtpd_access_policy\n");
    put(out, "protocol_state", protocol_state(f, stage));
    put(out, "protocol_name", f->protocol);
    put(out, "client_address", netaddr_str(&f->client, addr));
    put(out, "client_name", client_name(f->client_name->verified, f->client_name->name));
    put(out, "client_port", "");
    put(out, "reverse_client_name",
        client_name(f->client_name->reverse, f->client_name->reverse_name));
    put(out, "helo_name", f->helo);
    put(out, "sender", f->sender.full);
    put(out, "recipient", f->recipient.full);
    put_number(out, "recipient_count", stage >= STAGE_DATA ? f->recipient_count : 0);
    put(out, "queue_id", "");
    /* One value for all requests about one message, and for no others. */
    buf_printf(out, "instance=%s.%" PRIu64 "\n", f->id != NULL ? f->id : "", f->transaction);
    put_number(out, "size", f->size);
    put(out, "etrn_domain", f->etrn);
    put(out, "stress", "");
    put(out, "sasl_method", "");
    put(out, "sasl_username", f->login);
    put(out, "sasl_sender", "");
    put(out, "ccert_subject", c != NULL && c->verified ? c->subject : "");
    put(out, "ccert_issuer", c != NULL && c->verified ? c->issuer : "");
    put(out, "ccert_fingerprint", c != NULL ? c->fingerprint : "");
    put(out, "ccert_pubkey_fingerprint", c != NULL ? c->key_fingerprint : "");
    put(out, "encryption_protocol", f->tls ? f->tls_protocol : "");
    put(out, "encryption_cipher", f->tls ? f->tls_cipher : "");
    put_number(out, "encryption_keysize", f->tls ? (uint64_t)f->tls_bits : 0);
    put(out, "policy_context", "");
    buf_append_byte(out, '\n');
}
