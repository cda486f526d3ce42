"""Problems: tables, the families of mathematics.md section 5, and real text; exact quantities of policies on tables."""
