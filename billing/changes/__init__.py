"""What a plugin may ask for, and the kernel that carries it out as sets. No plugin is known by name here."""
