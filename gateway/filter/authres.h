/* Authentication-Results (RFC 8601): written, and those that others have forged found. */
#ifndef DIRIGO_FILTER_AUTHRES_H
#define DIRIGO_FILTER_AUTHRES_H

#include "gateway/filter/arc.h"
#include "gateway/filter/dmarc.h"
#include "gateway/filter/spf.h"

/* Whether the field is an Authentication-Results in the name of id, or cannot be read: both are
 * removed where mail comes in (section 5). */
bool authres_claims(const struct header_field *field, const char *id);

/*
 * The text of a field, built one method after the other: "id;\r\n\tspf=pass …". Values that came
 * from outside are quoted where they need to be, and cut where they are too long.
 */
struct authres {
    struct buf text;
    bool any;
};
void authres_begin(struct authres *a, const char *id);
void authres_free(struct authres *a);
void authres_spf(struct authres *a, const struct spf_verdict *v, const char *sender,
                 const char *helo);
void authres_dkim(struct authres *a, const struct dkim_result *r);
void authres_no_dkim(struct authres *a);
void authres_arc(struct authres *a, const struct arc_result *r);
/* author: NULL where there is none. override: NULL, or why the policy was not followed. */
void authres_dmarc(struct authres *a, const struct dmarc_result *r, const char *author,
                   const char *done, const char *override);
/* The text; valid until the next call. */
const char *authres_text(struct authres *a);

#endif
