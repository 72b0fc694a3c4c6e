"""What `ccagent doctor` looks at: a check a subject, each with one sentence and what to do next.

No text from elsewhere is repeated (paths, messages of errors and receivers, names that transcripts hold): the report is
made to be shown to strangers. Where such a text tells more, the verb that prints it is named.
"""
