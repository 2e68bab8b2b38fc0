/* The public suffix list (publicsuffix.org), by libpsl. */
#ifndef DIRIGO_FILTER_SUFFIX_H
#define DIRIGO_FILTER_SUFFIX_H

struct suffix_list;
/* Debian's list, or the one built into the library; before the process confines itself. NULL where
 * there is neither. */
struct suffix_list *suffix_list_new(void);
void suffix_list_free(struct suffix_list **list);
/* The registered part of a lower-case domain, inside it; NULL where it is a public suffix itself.
 */
const char *suffix_organisation(const char *domain, void *list);

#endif
