"""The figures of a talk: central scheduler and actors, stale updates, static memory."""
