# Passwords that the directory has in clear text, for SASL CRAM-MD5: never chosen by itself. They are
# kept on this host, where dirigo-auth alone can read them; hashes are left where they are.
# The DN of bind_dn has to be allowed to read userPassword.

rank 900

attribute userPassword clearPassword
