"""One file a command; each reads files, calls one public function, writes files, and prints."""
