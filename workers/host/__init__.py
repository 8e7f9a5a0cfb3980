"""What a node stands on: clock, mailboxes, disk, chance and trace."""
