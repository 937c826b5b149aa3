"""The same store on engines that take over where one machine is outgrown. Each is imported when it is asked for."""
