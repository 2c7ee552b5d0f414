"""Images, sounds and files in conversations: from a row to a request, and from one API's words to another's."""
